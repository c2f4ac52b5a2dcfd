import type { Redis } from 'ioredis';
import { exitCodes, type ErrorCode, type ExitCode } from '../errors.ts';
import { evaluate } from './evaluate.ts';
import { logEntry, type ThrottleKeys } from './keys.ts';
import { slotLifeMs } from './policy.ts';
import { alike, cancel, inherit, isWhole, look as glance, rebuild, repay, stop, turn } from './scripts.ts';

/** What a run has spent and may spend, as its records have it. */
export interface Books {
  /** As its records have it: `paused` and `cancelled` outlive a Redis that loses its data. */
  state: 'running' | 'paused' | 'cancelled';
  /** Hard cap of credits; undefined: none. */
  cap: number | undefined;
  /** Extra calls that may be charged or unknown. */
  budget: number;
  charged: number;
  unknown: number;
  extra: number;
  /** Calls in flight, which hold a credit each. */
  open: { call: string; account: string; extra: boolean }[];
  /** Calls of the last window, for a throttle's log that was lost. Epoch milliseconds. */
  recent: RecordedCall[];
  /** Calls of the last 26 hours, of whatever run, that may have been paid: where an account's day has a cap. */
  today: RecordedCall[];
}

interface RecordedCall {
  run: string;
  call: string;
  account: string;
  at: number;
}

export type RunState = 'running' | 'paused' | 'cancelled' | 'stopped';

/** A run's permission to spend: its state and its books in Redis. */
export interface Ledger {
  /** Opens the run's books, as at its start: the options given now win. */
  open(run: string, read: ReadBooks): Promise<void>;
  /** Makes the books again where Redis has lost them or may have lost writes; else leaves them alone. */
  mend(run: string, read: ReadBooks): Promise<void>;
  /** Has Redis lost nothing of the run's books? */
  isWhole(run: string): Promise<boolean>;
  /** Undefined: Redis knows nothing of the run. */
  state(run: string): Promise<{ state: RunState; stop?: { code: ExitCode; reason: string } } | undefined>;
  /** No further call of the run is sent; the first reason stands. */
  stop(run: string, code: ExitCode, reason: string): Promise<void>;
  /** No further call is sent until it is resumed. @returns the state it had; undefined as in `state` */
  pause(run: string): Promise<RunState | undefined>;
  /** A paused run goes on. @returns the state it had; undefined as in `state` */
  resume(run: string): Promise<RunState | undefined>;
  /** No further call is sent; its rows end as cancelled. @returns the state it had; undefined as in `state` */
  cancel(run: string): Promise<RunState | undefined>;
  /** A row has ended, with this error or without. @returns rows in a row that ended so */
  alike(run: string, code: ErrorCode | undefined): Promise<number>;
  /** Calls on record that hold a credit, but for those whose slot the account's log knows to be younger. */
  lingering(run: string, olderThanMs: number): Promise<string[]>;
  /** What the run has spent so far, for people to look at. */
  spent(run: string): Promise<Spent>;
  /** Forgets a finished run. */
  remove(run: string): Promise<void>;
}

/** Reads a run's books from its records; again, where credits moved or were lost meanwhile. */
type ReadBooks = () => Books | Promise<Books>;

/** What Redis knew before the records were read. */
interface Glance {
  moves: string;
  /** Redis' clock, epoch milliseconds. */
  at: number;
  mark: string;
}

export interface Spent {
  charged: number;
  unknown: number;
  /** Calls in flight. */
  open: number;
  cap: number | undefined;
}

/** Why a cancelled run ended. */
export const cancelled = 'cancelled by its user';

/** @param boot this boot of the machine, for a Redis of the user's own; undefined: another's, or it can't be told */
export function createLedger(redis: Redis, keys: ThrottleKeys, windowMs: number, boot?: string): Ledger {
  const look = async (run: string): Promise<Glance> => {
    const [moves = '', at, mark = ''] = (await evaluate(redis, glance, [keys.ledger(run)])) as string[];
    return { moves, at: Number(at), mark };
  };

  /** @returns false: the books are out of date already */
  const write = async (run: string, books: Books, start: boolean, before: Glance): Promise<boolean> => {
    // No slot is given by a new server before this: it knows no run's books yet.
    if (boot !== undefined) await evaluate(redis, inherit, [keys.server], boot);
    for (const { run, call, account, at } of books.recent) await restore(logEntry(run, call), account, at);
    await repayAll(books.today);
    const stale = start ? await staleOf(run, books, before.at) : [];
    const held = books.open.flatMap(({ call, account, extra }) => [call, `${extra ? 1 : 0}!${account}`]);
    const { cap = -1, budget, charged, unknown, extra, state } = books;
    const counts = [start ? 1 : 0, before.moves, before.mark, cap, budget, charged, unknown, extra];
    const cancelling = [exitCodes.cancelled, cancelled];
    const done = await evaluate(
      redis,
      rebuild,
      [keys.ledger(run), keys.open(run)],
      ...counts,
      state,
      ...cancelling,
      stale.length,
      ...stale,
      ...held,
    );
    return done === 1;
  };
  /**
   * Entered as if sent, and at once, a little later than its record says: the record is written before the first byte.
   */
  const restore = (entry: string, account: string, at: number): Promise<unknown> =>
    redis
      .multi()
      .zadd(keys.log(account), 'GT', at + windowMs / 12, entry)
      .pexpire(keys.log(account), windowMs * 6)
      .zadd(keys.ends(account), 'GT', at + windowMs / 12, entry)
      .pexpire(keys.ends(account), windowMs * 2)
      .exec();

  const repayAll = async (calls: Books['today']): Promise<void> => {
    for (const name of new Set(calls.map(({ account }) => account))) {
      const own = calls.filter(({ account }) => account === name);
      for (let from = 0; from < own.length; from += 1000) {
        const some = own.slice(from, from + 1000);
        const entries = some.flatMap(({ run, call, at }) => [at, logEntry(run, call)]);
        await redis.eval(repay, 1, keys.log(name), ...entries);
      }
    }
  };

  /** Calls that hold a credit in Redis and, as the records were read, none in truth; who took a slot since may send. */
  const staleOf = async (run: string, { open, recent }: Books, readAt: number): Promise<string[]> => {
    const inRecords = new Set([...open, ...recent].map(({ call }) => call));
    const stale: string[] = [];
    for (const [call, held] of Object.entries(await redis.hgetall(keys.open(run)))) {
      if (call === '') continue;
      const at = await redis.zscore(keys.log(held.slice(2)), logEntry(run, call));
      const isNew = at !== null && Number(at) > readAt - 2 * slotLifeMs(windowMs);
      if (inRecords.has(call) || !isNew) stale.push(call);
    }
    return stale;
  };

  const isCurrent = async (run: string): Promise<boolean> =>
    (await evaluate(redis, isWhole, [keys.ledger(run), keys.open(run)])) === 1;

  const turnFrom = async (run: string, from: RunState, to: RunState): Promise<RunState | undefined> =>
    stateOf(await redis.eval(turn, 1, keys.ledger(run), from, to));

  return {
    async open(run, read) {
      for (let isOpen = false; !isOpen;) {
        const before = await look(run);
        isOpen = await write(run, await read(), true, before);
      }
    },
    async mend(run, read) {
      while (!(await isCurrent(run))) {
        const before = await look(run);
        await write(run, await read(), false, before);
      }
    },
    isWhole: isCurrent,
    async state(run) {
      const [state, code, reason] = await redis.hmget(keys.ledger(run), 'state', 'stop_code', 'stop_reason');
      if (!state) return undefined;
      const stop = code ? { stop: { code: Number(code) as ExitCode, reason: reason ?? '' } } : {};
      return { state: state as RunState, ...stop };
    },
    async stop(run, code, reason) {
      await redis.eval(stop, 1, keys.ledger(run), code, reason);
    },
    pause: (run) => turnFrom(run, 'running', 'paused'),
    resume: (run) => turnFrom(run, 'paused', 'running'),
    async cancel(run) {
      return stateOf(await redis.eval(cancel, 1, keys.ledger(run), exitCodes.cancelled, cancelled));
    },
    alike: async (run, code) => Number(await redis.eval(alike, 1, keys.ledger(run), code ?? '')),
    async lingering(run, olderThanMs) {
      const [seconds] = await redis.time();
      const youngest = Number(seconds) * 1000 - olderThanMs;
      const calls: string[] = [];
      for (const [call, held] of Object.entries(await redis.hgetall(keys.open(run)))) {
        if (!isOnRecord(held)) continue;
        const at = await redis.zscore(keys.log(held.slice(2)), logEntry(run, call));
        if (at === null || Number(at) < youngest) calls.push(call);
      }
      return calls;
    },
    async spent(run) {
      const [charged, unknown, cap] = await redis.hmget(keys.ledger(run), 'charged', 'unknown', 'cap');
      // One field is no call.
      const open = Math.max(0, (await redis.hlen(keys.open(run))) - 1);
      const most = Number(cap ?? -1);
      return {
        charged: Number(charged ?? 0),
        unknown: Number(unknown ?? 0),
        open,
        cap: most < 0 ? undefined : most,
      };
    },
    async remove(run) {
      await redis.del(keys.ledger(run), keys.open(run));
    },
  };
}

const isOnRecord = (held: string): boolean => held[1] === '!';

const stateOf = (answer: unknown): RunState | undefined => (answer as RunState) || undefined;
