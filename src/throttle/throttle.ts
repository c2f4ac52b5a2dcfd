import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import pLimit from 'p-limit';
import type { ErrorCode } from '../errors.ts';
import type { Charge } from '../model.ts';
import { evaluate } from './evaluate.ts';
import { logEntry, type ThrottleKeys } from './keys.ts';
import {
  guardMs,
  longestHoldMs,
  pauseMs,
  probeAfterMs,
  refusingForMs,
  slotLifeMs,
  widestGuardMs,
} from './policy.ts';
import * as scripts from './scripts.ts';

/** Permission for one call: an entry in the account's log and a credit of the run. */
export interface Slot {
  run: string;
  call: string;
  account: string;
  /** Given now and to us; else it was found, taken by an earlier try at the same call. */
  fresh: boolean;
  /** `performance.now()` right before it was given. */
  takenAt: number;
  /** Which connection to Redis gave it; after a reconnect it is worth nothing. */
  connection: number;
}

/** Why there is no slot: the run's own affair, so the row leaves the line. */
export type NoSlot =
  | { none: 'cap' | 'budget' | 'paused' | 'cancelled' | 'stopped' }
  /** Another process has opened this very call, on this account: who asks has not seen its record yet. */
  | { none: 'on record'; account: string }
  /** No account may spend more today. */
  | { none: 'day' }
  /** All accounts of this process are parked; `meanwhile`: calls of the run are in flight. */
  | { none: 'parked' | 'parked meanwhile'; reasons: string }
  /** What is left of the cap or budget is reserved by calls in flight. */
  | { none: 'yield'; waitMs: number };

/** How an answered call counts. `unusable`: charged, and no picture; undefined says neither. */
export interface Settlement {
  charged: Charge;
  unusable: boolean | undefined;
  /** The API served the account: whatever it was parked for is over. */
  answered: boolean;
  /** Did a byte of it leave? If not, its place in the log is free again. */
  sent: boolean;
}

/** Calls charged, unknown or in flight that an account may have in a day. */
export interface DayCap {
  credits: number;
  /** When the present day began. Epoch milliseconds. */
  began: () => number;
}

export interface Throttle {
  /**
   * Waits in line, one poller a process, for a slot and a credit.
   * @param day what an account may spend on this day of the run; undefined: as much as it has
   * @throws the signal's reason, at once, when it is aborted
   */
  take(run: string, call: string, extra: boolean, signal: AbortSignal, day?: DayCap): Promise<Slot | NoSlot>;
  /** Is the slot still good for sending? Not when it is old or the connection that gave it was lost. */
  isFresh(slot: Slot): boolean;
  /**
   * Do the books still hold the slot's credit? Asked once the call is on record: books that are made again later have it
   * from there, and those that were made again before, without it, don't. From now on only `settle` takes it from them.
   * @throws the signal's reason, at once, when it is aborted
   */
  holds(slot: Slot, signal: AbortSignal): Promise<boolean>;
  /** The request begins to leave now: a server that counts its head counts it here. */
  stamp(slot: Slot): Promise<void>;
  /**
   * Waits until the request's last byte may leave, for a server that counts it whole: uploads that began apart may end
   * together. Half a window or 30 s at most, and not for a Redis that is silent: a request given up midway may be charged, one
   * above the limit is refused for nothing.
   */
  end(slot: Slot): Promise<void>;
  /** A call is over. @returns charged but unusable answers of the run in a row */
  settle(slot: Pick<Slot, 'run' | 'call' | 'account'>, settlement: Settlement): Promise<number>;
  /**
   * Nothing was sent, and no record opened: gives back what was taken. A slot that has grown old may be another process's
   * by now, and is left to it, or to the row's next start.
   */
  giveBack(slot: Slot): Promise<void>;
  /** Is a credit of the run taken for the call? */
  isHeld(run: string, call: string): Promise<boolean>;
  /** The call isn't on record and isn't made: gives back what was taken for it, unless somebody may still send it. */
  drop(run: string, call: string): Promise<void>;
  /** The account was refused with 429: it pauses, for all. */
  refused(slot: Slot, retryAfterMs: number | undefined): Promise<void>;
  /** Parks an account, once this has happened `times` in a row. */
  park(account: string, code: ErrorCode, times: number): Promise<void>;
}

export interface ThrottleOptions {
  redis: Redis;
  keys: ThrottleKeys;
  accounts: string[];
  limit: number;
  windowMs: number;
  /** For tests and measurements; a 120th of the window. */
  guardMs?: number | undefined;
  /** Makes the run's books again from its records: Redis has lost them. */
  mend: (run: string) => Promise<void>;
}

/** The sliding-window log an account in Redis, with the run's credits. */
export function createThrottle(options: ThrottleOptions): Throttle {
  const { redis, keys, accounts, limit, windowMs, mend } = options;
  const window = Math.round(windowMs);
  const guards = [options.guardMs ?? guardMs(window), widestGuardMs(window)];
  const line = pLimit(1);
  let connection = 0;
  redis.on('close', () => (connection += 1));

  const runKeys = (run: string): string[] => [keys.ledger(run), keys.open(run)];
  const accountKeys = accounts.flatMap((name) => [keys.log(name), keys.state(name)]);

  const ask = async (run: string, call: string, extra: boolean, day?: DayCap): Promise<[string, string]> => {
    const names = [...runKeys(run), ...accountKeys];
    const numbers = [
      limit,
      window,
      ...guards,
      pauseMs(window, Infinity),
      probeAfterMs(window),
      slotLifeMs(window),
    ];
    const reply = await evaluate(
      redis,
      scripts.take,
      names,
      call,
      extra ? 1 : 0,
      ...numbers,
      logEntry(run, call),
      ...accounts,
      day?.credits ?? -1,
      day?.began() ?? 0,
    );
    const [answer = '', detail = ''] = reply as string[];
    return [answer, detail];
  };

  const wait = async (
    run: string,
    call: string,
    extra: boolean,
    signal: AbortSignal,
    day: DayCap | undefined,
  ): Promise<Slot | NoSlot> => {
    for (;;) {
      signal.throwIfAborted();
      // From before the question: a process that is frozen while the answer waits for it must find the slot old.
      const asked = { takenAt: performance.now(), connection };
      const [answer, detail] = await ask(run, call, extra, day);
      if (answer === 'slot' || answer === 'held') {
        const fresh = answer === 'slot';
        return { run, call, account: detail, fresh, ...asked };
      }
      if (answer === 'rebuild') await mend(run);
      else if (answer !== 'wait') return noSlot(answer, detail);
      // Looked at every second, so that a pause, a cancel or a freed account is noticed.
      else await sleep(Math.min(Number(detail), 1000), undefined, { signal });
    }
  };

  const isFresh = (slot: Slot): boolean =>
    slot.connection === connection && performance.now() - slot.takenAt <= slotLifeMs(window);

  const giveBack = async (slot: Slot): Promise<void> => {
    if (!isFresh(slot)) return;
    const names = [keys.log(slot.account), keys.open(slot.run), keys.state(slot.account)];
    await evaluate(redis, scripts.giveBack, names, slot.call, logEntry(slot.run, slot.call));
  };

  return {
    take(run, call, extra, signal, day) {
      const turn = line(async () => {
        const got = await wait(run, call, extra, signal, day);
        if (signal.aborted && 'fresh' in got && got.fresh) await giveBack(got);
        return got;
      });
      return Promise.race([turn, aborted(signal, turn)]);
    },
    isFresh,
    giveBack,
    async holds(slot, signal) {
      const asked = evaluate(redis, scripts.holds, runKeys(slot.run), slot.call);
      return (await Promise.race([asked, aborted(signal, asked)])) === 1;
    },
    async stamp(slot) {
      const entry = logEntry(slot.run, slot.call);
      await evaluate(redis, scripts.stamp, [keys.log(slot.account)], entry, window);
    },
    async end(slot) {
      const names = [keys.ends(slot.account), keys.state(slot.account)];
      const entry = logEntry(slot.run, slot.call);
      const ask = (): Promise<unknown> =>
        evaluate(redis, scripts.end, names, entry, limit, window, ...guards);
      const last = performance.now() + longestHoldMs(window);
      const patienceMs = Math.min(slotLifeMs(window), longestHoldMs(window));
      for (;;) {
        const asked = performance.now();
        const reply = await Promise.race([ask(), sleep(patienceMs, undefined, { ref: false })]);
        if (reply === undefined) return;
        const now = performance.now();
        // A process that was frozen meanwhile would end its request later than it told: it asks again.
        if (reply === 0 && now - asked <= patienceMs) return;
        if (now + Number(reply) > last) return;
        await sleep(Number(reply));
      }
    },
    async settle(slot, { charged, unusable, answered, sent }) {
      const names = [...runKeys(slot.run), keys.state(slot.account), keys.log(slot.account)];
      const useless = unusable === undefined ? '' : Number(unusable);
      for (;;) {
        const facts = [charged, useless, Number(answered), Number(sent), logEntry(slot.run, slot.call)];
        const reply = await evaluate(redis, scripts.settle, names, slot.call, ...facts);
        const [answer, inARow] = reply as string[];
        if (answer === 'ok') return Number(inARow);
        await mend(slot.run);
      }
    },
    isHeld: async (run, call) => (await redis.hexists(keys.open(run), call)) === 1,
    async drop(run, call) {
      const held = await redis.hget(keys.open(run), call);
      if (held === null) return;
      const names = [keys.log(held.slice(2)), keys.open(run)];
      await evaluate(redis, scripts.drop, names, call, logEntry(run, call), slotLifeMs(window));
    },
    async refused(slot, retryAfterMs) {
      const numbers = [
        Math.round(pauseMs(window, retryAfterMs)),
        limit,
        window,
        ...guards,
        refusingForMs(window),
      ];
      const names = [keys.log(slot.account), keys.state(slot.account)];
      await evaluate(redis, scripts.refused, names, slot.call, ...numbers);
    },
    async park(account, code, times) {
      await evaluate(redis, scripts.park, [keys.state(account)], code, times);
    },
  };
}

function noSlot(answer: string, detail: string): NoSlot {
  switch (answer) {
    case 'parked':
    case 'parked meanwhile':
      return { none: answer, reasons: detail };
    case 'yield':
      return { none: 'yield', waitMs: Number(detail) };
    case 'on record':
      return { none: 'on record', account: detail };
    case 'cap':
    case 'budget':
    case 'day':
    case 'paused':
    case 'cancelled':
    case 'stopped':
      return { none: answer };
    default:
      throw new Error(`the throttle's script answered "${answer}"`);
  }
}

/** Rejects when the signal is aborted, whatever the turn is waiting for; hears nothing any more once it is over. */
function aborted(signal: AbortSignal, turn: Promise<unknown>): Promise<never> {
  return new Promise((_, reject) => {
    const leave = (): void => reject(signal.reason as Error);
    if (signal.aborted) leave();
    signal.addEventListener('abort', leave);
    const over = (): void => signal.removeEventListener('abort', leave);
    turn.then(over, over);
  });
}
