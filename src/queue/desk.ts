import type { Redis } from 'ioredis';
import { z } from 'zod';
import { deskKeys } from './keys.ts';
import { createPresence, type Presence } from './presence.ts';
import { createProgress, type ProgressBook } from './progress.ts';

const deskRunSchema = z.object({
  v: z.literal(1),
  run: z.string(),
  /** Where its output is, and that output's own id. */
  output: z.string(),
  store: z.string(),
  /** The API its rows are for. */
  origin: z.string(),
  /** As the user named it. */
  manifest: z.string(),
  rows: z.number().int(),
  /** Of them those that are to be done: chosen, and valid. */
  chosen: z.number().int(),
  /** Put there by `submit`: it is on until it is finished, whether anybody works or not. */
  submitted: z.boolean(),
});

/** A run that is on: what a worker must know to feed it. */
export type DeskRun = z.infer<typeof deskRunSchema>;

const pastRunSchema = deskRunSchema.extend({
  finished_at: z.string(),
  /** Its `summary.json`. */
  summary: z.record(z.string(), z.unknown()),
});

/** A run that is finished. */
export type PastRun = z.infer<typeof pastRunSchema>;

/** So many finished runs are remembered. */
const mostPast = 200;

/**
 * The desk of all processes that share a Redis: which runs are on, which rows are settled, who is alive. It can be
 * thrown away: plan and records make it anew.
 */
export interface Desk extends Presence, ProgressBook {
  register(run: DeskRun): Promise<void>;
  /** Runs that are on, the oldest first. */
  runs(): Promise<DeskRun[]>;
  /** Is the run on? */
  has(run: string): Promise<boolean>;
  /** Takes a run off the desk that another replaces. */
  remove(run: string): Promise<void>;
  /** Takes a finished run off the desk and remembers how it ended. */
  finish(run: string, summary: object): Promise<void>;
  /** Finished runs that are still remembered, the oldest first. */
  past(): Promise<PastRun[]>;
  /**
   * Forgets what dead processes left: nobody else works, and plan and records know it better. The throttle's logs,
   * submitted runs, what is past, who was here, and leases of the living stay.
   */
  clear(): Promise<void>;
}

/** KEYS runs. Takes off what wasn't submitted, and what can't be read. → those that stay */
const dropScript = `
local stay = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local ok, run = pcall(cjson.decode, all[i + 1])
  if ok and run.submitted then stay[#stay + 1] = all[i] else redis.call('HDEL', KEYS[1], all[i]) end
end
return stay`;

export function createDesk(redis: Redis, namespace: string): Desk {
  const key = deskKeys(namespace);
  const progress = createProgress(redis, key);
  const presence = createPresence(redis, key);

  const runs = async (): Promise<DeskRun[]> => {
    const known = readable(await redis.hvals(key('runs')), deskRunSchema);
    return known.sort((a, b) => (a.run < b.run ? -1 : 1));
  };
  const remove = async (run: string): Promise<void> => {
    await redis.hdel(key('runs'), run);
    await progress.forget(run);
  };

  return {
    ...presence,
    ...progress,
    async register(run) {
      await redis.hset(key('runs'), run.run, JSON.stringify(run));
    },
    runs,
    has: async (run) => (await redis.hexists(key('runs'), run)) === 1,
    remove,
    async finish(run, summary) {
      const known = (await runs()).find((other) => other.run === run);
      if (known) {
        const past = { ...known, finished_at: new Date().toISOString(), summary: { ...summary } };
        await redis.rpush(key('past'), JSON.stringify(past satisfies PastRun));
        await redis.ltrim(key('past'), -mostPast, -1);
      }
      await remove(run);
    },
    past: async () => readable(await redis.lrange(key('past'), 0, -1), pastRunSchema),
    async clear() {
      const submitted = (await redis.eval(dropScript, 1, key('runs'))) as string[];
      const stay = new Set(['workers', 'holders', 'known', 'limit', 'past', 'runs'].map((name) => key(name)));
      const isHeld = async (name: string): Promise<boolean> =>
        name.startsWith(key('lease', '')) &&
        (await presence.holder(name.slice(key('lease', '').length))) !== undefined;
      const staying = [key('account', ''), ...submitted.map((run) => key('run', run, ''))];
      const stays = (name: string): boolean =>
        stay.has(name) || staying.some((start) => name.startsWith(start));
      for await (const found of redis.scanStream({ match: `${globEscaped(key())}*`, count: 1000 })) {
        for (const name of found as string[]) {
          if (!stays(name) && !(await isHeld(name))) await redis.del(name);
        }
      }
    },
  };
}

/** Entries of another version's are passed over: the outputs know what they were. */
function readable<T>(texts: string[], schema: z.ZodType<T>): T[] {
  return texts.flatMap((text) => {
    const parsed = schema.safeParse(JSON.parse(text));
    return parsed.success ? [parsed.data] : [];
  });
}

const globEscaped = (text: string): string => text.replaceAll(/[[\]?*\\]/g, (c) => `\\${c}`);
