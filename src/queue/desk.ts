import type { Redis } from 'ioredis';
import { z } from 'zod';
import { UsageError } from '../errors.ts';
import { isSame, livesHere, ownerSchema, self, type Owner } from '../owner.ts';

/** A lease lasts this long beyond its owner, unless the owner is known to be dead. */
const leaseMs = 10_000;
/** A process that has not been heard of for this long is taken for dead. */
export const heartbeatLifeMs = 30_000;

const deskRunSchema = z.object({
  run: z.string(),
  /** Where its output is, and that output's own id. */
  output: z.string(),
  store: z.string(),
  /** The API its rows are for. */
  origin: z.string(),
  rows: z.number().int(),
});

/** A run that is on: what a worker must know to feed it. */
export type DeskRun = z.infer<typeof deskRunSchema>;

/** How a row ended, as far as the desk cares. */
export type RowEnd = 'succeeded' | 'failed' | 'other';

export interface Progress {
  settled: number;
  succeeded: number;
  failed: number;
}

/**
 * The desk of all processes that share a Redis: which runs are on, which rows are settled, who is alive. It can be
 * thrown away: plan and records make it anew.
 */
export interface Desk {
  /** Says that this process lives. @returns all that do, this one included */
  beat(): Promise<Owner[]>;
  /** This process goes. */
  leave(): Promise<void>;
  /** @throws UsageError when living processes use another limit */
  agree(limit: number, windowMs: number): Promise<void>;
  register(run: DeskRun): Promise<void>;
  runs(): Promise<DeskRun[]>;
  /** Is the run on? */
  has(run: string): Promise<boolean>;
  /** Forgets a finished run. */
  remove(run: string): Promise<void>;
  /** Sets a row's bit; doing it again changes nothing. */
  settle(run: string, row: number, end: RowEnd): Promise<Progress>;
  /** Sets many rows' bits. */
  settleAll(run: string, rows: { row: number; end: RowEnd }[]): Promise<void>;
  progress(run: string): Promise<Progress>;
  /** Tells of each row whether it is settled. */
  settled(run: string): Promise<(row: number) => boolean>;
  /** Takes or keeps a lease. @returns the other owner who has it, or undefined: it is ours */
  lease(name: string): Promise<Owner | undefined>;
  /** Who has a lease, if anybody living has. */
  holder(name: string): Promise<Owner | undefined>;
  release(name: string): Promise<void>;
  /** Forgets everything but the throttle's logs: nobody else is alive, and plan and records know it better. */
  clear(): Promise<void>;
}

const now = `local t = redis.call('TIME'); local now = t[1] * 1000 + math.floor(t[2] / 1000)`;

const beatScript = `${now}
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
return redis.call('ZRANGE', KEYS[1], 0, -1)`;

/** ARGV owner, life, an owner known to be dead or ''. → '' or the owner who has it. */
const leaseScript = `
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] and owner ~= ARGV[3] then return owner end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''`;

const releaseScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

export function createDesk(redis: Redis, namespace: string): Desk {
  const key = (...parts: string[]): string => [`{${namespace}}`, ...parts].join(':');
  const me = JSON.stringify(self);
  const bits = (run: string, what: string): string => key('run', run, what);

  const living = async (): Promise<Owner[]> => {
    const members = (await redis.eval(beatScript, 1, key('workers'), me, heartbeatLifeMs)) as string[];
    return members.map(parseOwner).filter((owner) => livesHere(owner) !== false);
  };
  const holder = async (name: string): Promise<{ text: string; owner: Owner } | undefined> => {
    const text = await redis.get(key('lease', name));
    return text ? { text, owner: parseOwner(text) } : undefined;
  };
  const setBits = async (run: string, rows: { row: number; end: RowEnd }[]): Promise<void> => {
    const batch = redis.multi();
    for (const { row, end } of rows) {
      batch.setbit(bits(run, 'settled'), row, 1);
      if (end !== 'other') batch.setbit(bits(run, end), row, 1);
    }
    await batch.exec();
  };
  const progress = async (run: string): Promise<Progress> => {
    const count = (what: string): Promise<number> => redis.bitcount(bits(run, what));
    const [settled, succeeded, failed] = await Promise.all([
      count('settled'),
      count('succeeded'),
      count('failed'),
    ]);
    return { settled, succeeded, failed };
  };

  return {
    beat: living,
    async leave() {
      await redis.zrem(key('workers'), me);
    },
    async agree(limit, windowMs) {
      const mine = `${limit} calls in ${windowMs / 1000} s`;
      const others = (await living()).filter((owner) => !isSame(owner, self));
      const theirs = await redis.get(key('limit'));
      if (theirs && theirs !== mine && others.length > 0) {
        throw new UsageError(
          `${others.length} living reshoot process(es) on this Redis use a limit of ${theirs}, this one ${mine}: ` +
            'set RESHOOT_RATE_LIMIT and RESHOOT_RATE_WINDOW alike, or use another RESHOOT_NAMESPACE for another API',
        );
      }
      await redis.set(key('limit'), mine);
    },
    async register(run) {
      await redis.hset(key('runs'), run.run, JSON.stringify(run));
    },
    async runs() {
      const values = await redis.hvals(key('runs'));
      return values.map((value) => deskRunSchema.parse(JSON.parse(value)));
    },
    has: async (run) => (await redis.hexists(key('runs'), run)) === 1,
    async remove(run) {
      await redis.del(...['settled', 'succeeded', 'failed'].map((what) => bits(run, what)));
      await redis.hdel(key('runs'), run);
    },
    async settle(run, row, end) {
      await setBits(run, [{ row, end }]);
      return progress(run);
    },
    settleAll: setBits,
    progress,
    async settled(run) {
      const map = (await redis.getBuffer(bits(run, 'settled'))) ?? Buffer.alloc(0);
      return (row) => ((map[row >> 3] ?? 0) & (0x80 >> (row & 7))) !== 0;
    },
    async lease(name) {
      const held = await holder(name);
      const dead = held && livesHere(held.owner) === false ? held.text : '';
      const other = (await redis.eval(leaseScript, 1, key('lease', name), me, leaseMs, dead)) as string;
      return other === '' ? undefined : parseOwner(other);
    },
    async holder(name) {
      const held = await holder(name);
      return held && livesHere(held.owner) !== false ? held.owner : undefined;
    },
    async release(name) {
      await redis.eval(releaseScript, 1, key('lease', name), me);
    },
    async clear() {
      const keep = key('account', '');
      const kept = new Set([key('workers'), key('limit')]);
      for await (const found of redis.scanStream({ match: `${globEscaped(key())}*`, count: 1000 })) {
        const names = (found as string[]).filter((name) => !name.startsWith(keep) && !kept.has(name));
        if (names.length > 0) await redis.del(...names);
      }
    },
  };
}

const parseOwner = (text: string): Owner => ownerSchema.parse(JSON.parse(text));

const globEscaped = (text: string): string => text.replaceAll(/[[\]?*\\]/g, (c) => `\\${c}`);
