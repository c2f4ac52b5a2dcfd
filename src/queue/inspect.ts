import type { Redis } from 'ioredis';

/** What of a Redis server matters to reshoot. */
export interface RedisFacts {
  /** `redis` or `valkey` with its version. */
  version: string;
  /** Undefined: the server doesn't say, as some managed ones. */
  appendOnly: boolean | undefined;
  evictionPolicy: string | undefined;
  /** Bytes that it may use; 0: as many as there are. */
  maxMemory: number;
  /** How far its clock is ahead of ours, in milliseconds. */
  clockAheadMs: number;
}

/** Asks by INFO and TIME only, which managed servers allow; many of them forbid CONFIG. */
export async function inspectRedis(redis: Redis): Promise<RedisFacts> {
  const sections = await Promise.all(['server', 'memory', 'persistence'].map((name) => redis.info(name)));
  const field = (name: string): string | undefined =>
    new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(sections.join('\n'))?.[1];
  const valkey = field('valkey_version');
  const asked = Date.now();
  const [seconds, micros] = await redis.time();
  const between = (asked + Date.now()) / 2;
  const aof = field('aof_enabled');
  return {
    version: valkey ? `valkey ${valkey}` : `redis ${field('redis_version') ?? '?'}`,
    appendOnly: aof === undefined ? undefined : aof === '1',
    evictionPolicy: field('maxmemory_policy'),
    maxMemory: Number(field('maxmemory') ?? 0),
    clockAheadMs: Number(seconds) * 1000 + Number(micros) / 1000 - between,
  };
}
