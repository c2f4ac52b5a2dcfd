import type { Redis } from 'ioredis';

const MB = 2 ** 20;

/** Every kind of key that may stay when no run is on, and why it does not grow. */
export const known: Record<string, string> = {
  past: 'the last 200 runs, about 1 KB each',
  'edit:events': "BullMQ's events, trimmed at about 10,000",
  'edit:id': "BullMQ's counter",
  'edit:meta': "BullMQ's options of the queue",
  'edit:stalled-check': "BullMQ's look for stalled jobs, expires",
  'account:<api>:log': 'calls of the last five windows, expires',
  'account:<api>:log:paid': 'calls of the last 26 hours, at most 30 a minute',
  'account:<api>:ends': 'requests that ended in the last window, expires',
  'account:<api>:state': 'how the account stands',
  'lease:feed:<run>': 'expires after 10 s',
  'lease:plan:<output>': 'expires after 10 s',
  holders: 'accounts of the living, of the last 30 s',
  known: 'processes of the last seven days',
  workers: 'the living',
  limit: 'what all have agreed on',
};
const filling = new Set(['past', 'edit:events', 'account:<api>:log:paid']);
const ofJobs = /^edit:<run>\.<row>/;
const runId = /r\d{8}T\d{9}-[0-9a-f]{6}/;

export interface Key {
  name: string;
  kind: string;
  bytes: number;
  expires: boolean;
}

/** What Redis holds. */
export interface RedisSample {
  measures: Record<string, number>;
  keys: Key[];
  /** Keys of runs that are over. */
  orphans: string[];
}

export async function sampleRedis(redis: Redis): Promise<RedisSample> {
  const info = new Map(
    [...(await redis.info()).matchAll(/^(\w+):(\d+)\r?$/gm)].map(([, name, value]) => [name, Number(value)]),
  );
  const keys = await allKeys(redis);
  const orphans = await orphansOf(redis, keys);
  const [usedMemory = 0, overhead = 0] = ['used_memory', 'used_memory_overhead'].map((name) =>
    info.get(name),
  );
  const filled = bytesOf(keys.filter(({ kind }) => filling.has(kind)));
  const others = keys.filter(({ kind }) => !filling.has(kind) && !ofJobs.test(kind));
  return {
    keys,
    orphans,
    measures: {
      redis_mb: usedMemory / MB,
      redis_filling_mb: filled / MB,
      // Not what the lists leave of all memory: they take some ten bytes an entry more than Redis says.
      redis_other_mb: (overhead + bytesOf(others)) / MB,
      redis_keys: keys.length,
      redis_lasting_keys: keys.filter(({ kind, expires }) => !expires && !ofJobs.test(kind)).length,
      redis_orphans: orphans.length,
      redis_clients: info.get('connected_clients') ?? 0,
      redis_blocked: info.get('blocked_clients') ?? 0,
    },
  };
}

export const bytesOf = (keys: Key[]): number => keys.reduce((sum, { bytes }) => sum + bytes, 0);

async function allKeys(redis: Redis): Promise<Key[]> {
  const names = new Set<string>();
  for await (const found of redis.scanStream({ count: 1000 }))
    for (const name of found as string[]) names.add(name);
  const look = async (name: string): Promise<Key> => {
    const [bytes, life] = await Promise.all([redis.memory('USAGE', name, 'SAMPLES', 0), redis.pttl(name)]);
    // One that has gone meanwhile is about to expire as well.
    return { name, kind: kindOf(name), bytes: bytes ?? 0, expires: life !== -1 };
  };
  return Promise.all([...names].sort().map(look));
}

/** A key's name without what tells it from others of its kind. */
function kindOf(name: string): string {
  return name
    .replace(/^\{\w+\}:/, '')
    .replace(/^account:[0-9a-f]{8}:\w+/, 'account:<api>')
    .replace(new RegExp(`${runId.source}\\.\\w+`), '<run>.<row>')
    .replace(runId, '<run>')
    .replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/, '<output>');
}

/** Keys of runs that are not on the desk. A lease ends by itself. */
async function orphansOf(redis: Redis, keys: Key[]): Promise<string[]> {
  const on = new Set(await redis.hkeys('{reshoot}:runs'));
  const ofOthers = keys.filter(({ name, expires }) => {
    const run = runId.exec(name)?.[0];
    return run !== undefined && !on.has(run) && !expires;
  });
  // A run that ended while its keys were listed has taken them along.
  const still = await Promise.all(ofOthers.map(({ name }) => redis.exists(name)));
  return ofOthers.filter((_, i) => still[i] === 1).map(({ name }) => name);
}
