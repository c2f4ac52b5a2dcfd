import type { Redis } from 'ioredis';
import { z } from 'zod';
import { UsageError } from '../errors.ts';
import { isSame, livesHere, ownerSchema, self, type Owner } from '../owner.ts';
import type { DeskKey } from './keys.ts';

/** A lease lasts this long beyond its owner, unless the owner is known to be dead. */
const leaseMs = 10_000;
/** A process that has not been heard of for this long is taken for dead. */
export const heartbeatLifeMs = 30_000;

/** Longer than any call is in flight: for so long a process is remembered after it was last heard of. */
const knownMs = 7 * 86_400_000;

/** With what, and on what, a process works. */
export interface Offer {
  /** That it has keys for. */
  accounts: string[];
  /** The API that they are at. */
  origin: string;
  /** The only run that it works on; undefined: any. */
  only: string | undefined;
  /** Runs that it doesn't work on. */
  without: string[];
}

/** Who is there, and who is in charge of what. */
export interface Presence {
  /**
   * Says that this process works.
   * @returns all that work, this one included
   */
  beat(offer?: Offer): Promise<Owner[]>;
  /** All processes that work. */
  living(): Promise<Owner[]>;
  /** All that worked here lately, whether they live or not. */
  known(): Promise<Owner[]>;
  /** The accounts of all processes that may work on the run. */
  accounts(run: { run: string; origin: string }): Promise<string[]>;
  /** This process goes. */
  leave(): Promise<void>;
  /** What is wrong where living processes use another limit; undefined: none does. */
  otherLimit(limit: number, windowMs: number): Promise<string | undefined>;
  /** @throws UsageError when living processes use another limit */
  agree(limit: number, windowMs: number): Promise<void>;
  /** Takes or keeps a lease. @returns the other owner who has it, or undefined: it is ours */
  lease(name: string): Promise<Owner | undefined>;
  /** Who has a lease, if anybody living has. */
  holder(name: string): Promise<Owner | undefined>;
  release(name: string): Promise<void>;
}

/** ARGV life, and whoever is to be entered. → all that were entered within that time */
const beatScript = `
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now, ARGV[i]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[1])
return redis.call('ZRANGE', KEYS[1], 0, -1)`;

/** ARGV owner, life, an owner known to be dead or ''. → '' or the owner who has it. */
const leaseScript = `
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] and owner ~= ARGV[3] then return owner end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''`;

const releaseScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`;

export function createPresence(redis: Redis, key: DeskKey): Presence {
  const me = JSON.stringify(self);
  let ours: string[] = [];
  const beat = async (what: string, entered: string[], lifeMs = heartbeatLifeMs): Promise<string[]> =>
    (await redis.eval(beatScript, 1, key(what), lifeMs, ...entered)) as string[];
  const heard = async (...entered: string[]): Promise<Owner[]> => {
    const members = await beat('workers', entered);
    return members.map(parseOwner).filter((owner) => livesHere(owner) !== false);
  };
  const holder = async (name: string): Promise<{ text: string; owner: Owner } | undefined> => {
    const text = await redis.get(key('lease', name));
    return text ? { text, owner: parseOwner(text) } : undefined;
  };

  const otherLimit: Presence['otherLimit'] = async (limit, windowMs) => {
    const mine = limitText(limit, windowMs);
    const others = (await heard()).filter((owner) => !isSame(owner, self));
    const theirs = await redis.get(key('limit'));
    if (!theirs || theirs === mine || others.length === 0) return undefined;
    return (
      `${others.length} living reshoot process(es) on this Redis use a limit of ${theirs}, this one ${mine}: ` +
      'set RESHOOT_RATE_LIMIT and RESHOOT_RATE_WINDOW alike, or use another RESHOOT_NAMESPACE for another API'
    );
  };

  return {
    async beat({ accounts, ...offer } = nothing) {
      const before = ours;
      ours = accounts.map((account) => JSON.stringify({ account, owner: self, ...offer }));
      const past = before.filter((text) => !ours.includes(text));
      if (past.length > 0) await redis.zrem(key('holders'), ...past);
      await beat('holders', ours);
      await beat('known', [me], knownMs);
      return heard(me);
    },
    async accounts(run) {
      const held = (await beat('holders', [])).map((text) => heldSchema.parse(JSON.parse(text)));
      const may = held.filter(
        ({ owner, origin = run.origin, only = run.run, without = [] }) =>
          livesHere(owner) !== false &&
          origin === run.origin &&
          only === run.run &&
          !without.includes(run.run),
      );
      return [...new Set(may.map(({ account }) => account))];
    },
    living: () => heard(),
    known: async () => (await beat('known', [], knownMs)).map(parseOwner),
    async leave() {
      await redis.zrem(key('workers'), me);
      // Else others would wait for what it might do.
      if (ours.length > 0) await redis.zrem(key('holders'), ...ours);
    },
    otherLimit,
    async agree(limit, windowMs) {
      const other = await otherLimit(limit, windowMs);
      if (other !== undefined) throw new UsageError(other);
      await redis.set(key('limit'), limitText(limit, windowMs));
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
  };
}

const limitText = (limit: number, windowMs: number): string => `${limit} calls in ${windowMs / 1000} s`;

const nothing: Offer = { accounts: [], origin: '', only: undefined, without: [] };

/** An account that a process has a key for, and what it offers; older ones don't say. */
const heldSchema = z.object({
  account: z.string(),
  owner: ownerSchema,
  origin: z.string().optional(),
  only: z.string().optional(),
  without: z.array(z.string()).optional(),
});

const parseOwner = (text: string): Owner => ownerSchema.parse(JSON.parse(text));
