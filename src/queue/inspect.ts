import type { Redis } from 'ioredis';

/** What of a Redis server matters to reshoot. */
export interface RedisFacts {
  /** `redis` or `valkey` with its version. */
  version: string;
  /** Undefined: the server doesn't let us ask, as managed ones do. */
  appendOnly: boolean | undefined;
  evictionPolicy: string | undefined;
  /** How far its clock is ahead of ours, in milliseconds. */
  clockAheadMs: number;
}

export async function inspectRedis(redis: Redis): Promise<RedisFacts> {
  const info = await redis.info('server');
  const field = (name: string): string | undefined => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1];
  const valkey = field('valkey_version');
  const asked = Date.now();
  const [seconds, micros] = await redis.time();
  const between = (asked + Date.now()) / 2;
  return {
    version: valkey ? `valkey ${valkey}` : `redis ${field('redis_version') ?? '?'}`,
    appendOnly: yesNo(await setting(redis, 'appendonly')),
    evictionPolicy: await setting(redis, 'maxmemory-policy'),
    clockAheadMs: Number(seconds) * 1000 + Number(micros) / 1000 - between,
  };
}

async function setting(redis: Redis, name: string): Promise<string | undefined> {
  const pair = await redis.call('CONFIG', 'GET', name).catch(() => []);
  return (pair as string[])[1];
}

const yesNo = (value: string | undefined): boolean | undefined =>
  value === undefined ? undefined : value === 'yes';
