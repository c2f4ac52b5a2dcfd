import type { DeskRun, PastRun } from '../../src/queue/desk.ts';
import type { Job } from '../../src/queue/job.ts';
import type { RowEnd } from '../../src/queue/progress.ts';
import type { Process, Scheduler } from './scheduler.ts';
import { scripts, type Db } from './scripts.ts';

/** A job of BullMQ's. */
export interface JobData {
  id: string;
  job: Job;
  state: 'waiting' | 'delayed' | 'active';
  /** Of a delayed one: when it is due. */
  dueAt: number;
  token: string;
  lockedUntil: number;
  stalled: number;
}

/** All that this Redis knows, and may lose. */
export interface RedisData {
  hashes: Map<string, Map<string, string>>;
  zsets: Map<string, Map<string, number>>;
  jobs: Map<string, JobData>;
  runs: Map<string, DeskRun>;
  ends: Map<string, Map<number, Set<RowEnd>>>;
  past: PastRun[];
  /** Who was heard of, and when. */
  workers: Map<string, number>;
  holders: Map<string, number>;
  known: Map<string, number>;
  leases: Map<string, { text: string; until: number }>;
  limit: string | undefined;
}

/** Of one that has never been told anything, or has lost it all. */
export const empty = (): RedisData => ({
  hashes: new Map(),
  zsets: new Map(),
  jobs: new Map(),
  runs: new Map(),
  ends: new Map(),
  past: [],
  workers: new Map(),
  holders: new Map(),
  known: new Map(),
  leases: new Map(),
  limit: undefined,
});

export type ModelRedis = ReturnType<typeof createRedis>;
export type Client = ReturnType<ModelRedis['connect']>;

/** A Redis that may be away, and may lose all or the last it was told. */
export function createRedis(sim: Scheduler, aof: boolean) {
  let data = empty();
  let servers = 1;
  let startedAt = -3_600_000;
  let awayUntil = 0;
  const clients = new Set<{ process: Process; close: () => void }>();
  const listeners = new Set<() => void>();

  const db: Db = {
    get now() {
      return sim.wall;
    },
    get server() {
      return `server${servers}`;
    },
    aof,
    get uptimeMs() {
      return sim.now - startedAt;
    },
    hash(key) {
      const known = data.hashes.get(key) ?? new Map<string, string>();
      data.hashes.set(key, known);
      return known;
    },
    zset(key) {
      const known = data.zsets.get(key) ?? new Map<string, number>();
      data.zsets.set(key, known);
      return known;
    },
  };

  /** It goes away and comes back with what it had at some time. */
  const restart = (kept: RedisData, awayMs: number): void => {
    sim.note(`REDIS restarts with ${kept.hashes.size} hashes and ${kept.jobs.size} jobs`, undefined);
    data = kept;
    servers += 1;
    startedAt = sim.now;
    awayUntil = sim.now + awayMs;
    for (const { process, close } of clients) {
      if (process.dead) continue;
      sim.after(process, sim.between(0, 5), close);
      // Jobs may wait again that were taken.
      sim.after(undefined, awayMs + 1, () => changed());
    }
  };
  /** Some job may be taken now. */
  const changed = (): void => {
    for (const listener of listeners) listener();
  };

  return {
    db,
    get data() {
      return data;
    },
    changed,
    onChange: (listener: () => void): void => void listeners.add(listener),
    /** Loses what it was told in the last milliseconds, as without an fsync of each write. */
    loseLast(lastMs: number, awayMs: number): void {
      const kept = structuredClone(data);
      sim.after(undefined, lastMs, () => restart(kept, awayMs));
    },
    restart,
    connect(process: Process) {
      const closing: (() => void)[] = [];
      const close = (): void => {
        sim.note('loses its connection');
        for (const told of closing) told();
      };
      clients.add({ process, close });
      const command = async <T>(what: string, effect: () => T): Promise<T> => {
        if (sim.chance(sim.faults.lostReply)) {
          await sim.ask(`first ${what}`, effect, () => awayUntil).catch(() => undefined);
          close();
          await sim.wait(sim.skewed(5, 4000));
        }
        return sim.ask(what, effect, () => awayUntil);
      };
      const read = <T>(what: string, effect: (found: Db) => T): Promise<T> => command(what, () => effect(db));
      return {
        process,
        command,
        eval(script: string, count: number, ...args: (string | number)[]): Promise<unknown> {
          const found = scripts.get(script);
          if (!found) throw new Error(`the model of Redis lacks this script: ${script.slice(0, 80)}`);
          const [keys, argv] = [args.slice(0, count).map(String), args.slice(count).map(String)];
          return command(`Redis ${found.name}`, () => {
            const reply = found.run(db, keys, argv);
            sim.note(`Redis ${found.name} ${argv[0]?.slice(-6) ?? ''} -> ${JSON.stringify(reply)}`);
            return reply;
          });
        },
        hget: (key: string, field: string) => read('Redis hget', ({ hash }) => hash(key).get(field) ?? null),
        hmget: (key: string, ...fields: string[]) =>
          read('Redis hmget', ({ hash }) => fields.map((field) => hash(key).get(field) ?? null)),
        hgetall: (key: string) => read('Redis hgetall', ({ hash }) => Object.fromEntries(hash(key))),
        hexists: (key: string, field: string) =>
          read('Redis hexists', ({ hash }) => Number(hash(key).has(field))),
        hlen: (key: string) => read('Redis hlen', ({ hash }) => hash(key).size),
        hdel: (key: string, ...fields: string[]) =>
          read('Redis hdel', ({ hash }) => fields.filter((field) => hash(key).delete(field)).length),
        del: (...keys: string[]) =>
          command('Redis del', () => {
            for (const key of keys) {
              data.hashes.delete(key);
              data.zsets.delete(key);
            }
          }),
        zscore: (key: string, member: string) =>
          read('Redis zscore', ({ zset }) => zset(key).get(member)?.toString() ?? null),
        zcount: (key: string, from: string | number, _to: string) =>
          read(
            'Redis zcount',
            ({ zset }) => [...zset(key).values()].filter((at) => at >= Number(from)).length,
          ),
        time: () =>
          read('Redis time', ({ now }) => [Math.floor(now / 1000), Math.floor((now % 1000) * 1000)]),
        /** Only what the ledger restores an account's logs with. */
        multi() {
          const all: (() => void)[] = [];
          const batch = {
            zadd(key: string, _gt: string, at: number, member: string) {
              all.push(() => db.zset(key).set(member, Math.max(at, db.zset(key).get(member) ?? -Infinity)));
              return batch;
            },
            pexpire: () => batch,
            exec: () => command('Redis multi', () => all.forEach((one) => one())),
          };
          return batch;
        },
        on(event: string, told: () => void): void {
          if (event === 'close') closing.push(told);
        },
        disconnect: () => undefined,
      };
    },
  };
}
