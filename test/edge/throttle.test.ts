import { getEventListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createAccounts, sealLogs } from '../../src/throttle/accounts.ts';
import { logEntry, throttleKeys, type ThrottleKeys } from '../../src/throttle/keys.ts';
import { createLedger, type Books, type Ledger } from '../../src/throttle/ledger.ts';
import { paidKey } from '../../src/throttle/scripts.ts';
import {
  createThrottle,
  type NoSlot,
  type Settlement,
  type Slot,
  type Throttle,
  type ThrottleOptions,
} from '../../src/throttle/throttle.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';

const run = 'r1';
const paid: Settlement = { charged: 'yes', unusable: false, answered: true, sent: true };
const free: Settlement = { charged: 'no', unusable: undefined, answered: false, sent: true };
const empty: Books = {
  state: 'running',
  cap: undefined,
  budget: 10,
  charged: 0,
  unknown: 0,
  extra: 0,
  open: [],
  recent: [],
  today: [],
};

let server: RedisServer;
let redis: Redis;
let keys: ThrottleKeys;
let ledger: Ledger;
let namespaces = 0;
const connections: Redis[] = [];

function connection(): Redis {
  const redis = new Redis(server.url, { maxRetriesPerRequest: null, retryStrategy: () => 50 });
  redis.on('error', () => undefined);
  connections.push(redis);
  return redis;
}

beforeAll(async () => {
  server = await startRedis();
});

beforeEach(async () => {
  redis = connection();
  keys = throttleKeys(`test-${(namespaces += 1)}`, 'https://api.example');
  ledger = createLedger(redis, keys, 400);
  await ledger.open(run, () => empty);
});

afterEach(() => {
  for (const redis of connections.splice(0)) redis.disconnect();
});

afterAll(() => server.close());

/** Five calls in 400 ms unless it is told otherwise; its books come back empty where they are lost. */
function throttleOf(options: Partial<ThrottleOptions> = {}): Throttle {
  return createThrottle({
    redis,
    keys,
    accounts: ['a'],
    limit: 5,
    windowMs: 400,
    mend: (run) => ledger.mend(run, () => empty),
    ...options,
  });
}

const take = (throttle: Throttle, call: string, extra = false): Promise<Slot | NoSlot> =>
  throttle.take(run, call, extra, new AbortController().signal);

async function slotOf(throttle: Throttle, call: string, extra = false): Promise<Slot> {
  const got = await take(throttle, call, extra);
  if ('none' in got) throw new Error(`no slot: ${got.none}`);
  return got;
}

/** Does the throttle make the call wait? A call that is told no is not waiting. */
async function waits(throttle: Throttle, call: string, ms = 150): Promise<boolean> {
  const leave = new AbortController();
  const turn = throttle.take(run, call, false, leave.signal).then(
    () => false,
    () => true,
  );
  await Promise.race([turn, sleep(ms)]);
  leave.abort(new Error('waited long enough'));
  return turn;
}

const logged = (account = 'a'): Promise<string[]> => redis.zrange(keys.log(account), '(0', '+inf', 'BYSCORE');
const entry = (call: string): string => logEntry(run, call);
const state = (field: string, account = 'a'): Promise<string | null> =>
  redis.hget(keys.state(account), field);
const redisNow = async (): Promise<number> => {
  const [seconds, micros] = await redis.time();
  return Number(seconds) * 1000 + Number(micros) / 1000;
};
const inFlight = async (): Promise<string[]> =>
  (await redis.hkeys(keys.open(run))).filter((call) => call !== '');
const booked = async (): Promise<Record<string, string>> => redis.hgetall(keys.ledger(run));

describe('the limit', () => {
  it('is never exceeded in any window, whatever processes and rows compete', async () => {
    const throttles = Array.from({ length: 4 }, () => throttleOf({ redis: connection() }));
    const started = performance.now();
    const sent = await Promise.all(
      Array.from({ length: 40 }, async (_, i) => {
        const slot = await slotOf(throttles[i % 4]!, `call-${i}`);
        return Number(await redis.zscore(keys.log(slot.account), entry(slot.call)));
      }),
    );
    const times = sent.toSorted((a, b) => a - b);
    for (let i = 5; i < times.length; i++) expect(times[i]! - times[i - 5]!).toBeGreaterThan(400);
    // Seven windows and their guards lie between the first and the last.
    expect(performance.now() - started).toBeLessThan(7 * 404 * 1.5);
  });

  it('serves a process in the order of its rows', async () => {
    const throttle = throttleOf();
    const served: number[] = [];
    const all = Array.from({ length: 12 }, async (_, i) => {
      await slotOf(throttle, `call-${i}`);
      served.push(i);
    });
    await Promise.all(all);
    expect(served).toEqual(served.map((_, i) => i));
  });

  it('goes to the account with most room', async () => {
    const throttle = throttleOf({ accounts: ['a', 'b'], limit: 3, windowMs: 5000 });
    await redis.zadd(keys.log('a'), Date.now(), 'earlier');
    const slots = [];
    for (let i = 0; i < 5; i++) slots.push((await slotOf(throttle, `call-${i}`)).account);
    expect(slots[0]).toBe('b');
    expect(slots.toSorted()).toEqual(['a', 'a', 'b', 'b', 'b']);
    expect(await waits(throttle, 'call-5')).toBe(true);
  });

  it('holds for runs whose calls have the same names', async () => {
    const throttle = throttleOf({ limit: 2, windowMs: 5000 });
    await ledger.open('r2', () => empty);
    const other = await throttle.take('r2', 'call-1', false, new AbortController().signal);
    await throttle.stamp(await slotOf(throttle, 'call-1'));
    expect(await logged()).toHaveLength(2);
    expect(await waits(throttle, 'call-2')).toBe(true);
    await throttle.settle(other as Slot, { ...free, sent: false });
    expect(await logged()).toEqual([entry('call-1')]);
  });

  it('is per API: a simulator takes nothing from the real one', async () => {
    const throttle = throttleOf({ limit: 1, windowMs: 5000 });
    await slotOf(throttle, 'call-1');
    const other = throttleKeys(`test-${namespaces}`, 'http://127.0.0.1:4010');
    expect(other.log('a')).not.toBe(keys.log('a'));
    expect(other.ledger(run)).toBe(keys.ledger(run));
    await slotOf(throttleOf({ limit: 1, windowMs: 5000, keys: other }), 'call-2');
  });
});

describe('a slot', () => {
  it('is the same for the same call, sent again or taken over, until it is old', async () => {
    const throttle = throttleOf({ windowMs: 6000 });
    const first = await slotOf(throttle, 'call-1');
    const again = await slotOf(throttleOf({ windowMs: 6000, redis: connection() }), 'call-1');
    expect([first.fresh, again.fresh]).toEqual([true, false]);
    expect(await logged()).toEqual([entry('call-1')]);
    expect(await inFlight()).toEqual(['call-1']);
    const sent = await redis.zscore(keys.log('a'), entry('call-1'));
    await sleep(520);
    expect(await slotOf(throttle, 'call-1')).toMatchObject({ fresh: true });
    expect(Number(await redis.zscore(keys.log('a'), entry('call-1')))).toBeGreaterThan(Number(sent) + 500);
    expect(await inFlight()).toEqual(['call-1']);
  });

  it('is good for sending for a twelfth of the window', async () => {
    const throttle = throttleOf({ windowMs: 1200 });
    const slot = await slotOf(throttle, 'call-1');
    expect(throttle.isFresh(slot)).toBe(true);
    await sleep(110);
    expect(throttle.isFresh(slot)).toBe(false);
  });

  it('ages while the process is frozen before it has heard of it', async () => {
    const throttle = throttleOf({ windowMs: 1200 });
    const slot = slotOf(throttle, 'call-1');
    await Promise.resolve();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 110);
    expect(throttle.isFresh(await slot)).toBe(false);
  });

  it('counts from when its request leaves, also where it has left the log', async () => {
    const throttle = throttleOf({ limit: 1, windowMs: 600 });
    const slot = await slotOf(throttle, 'call-1');
    const taken = Number(await redis.zscore(keys.log('a'), entry('call-1')));
    const pttl = (): Promise<number> => redis.pttl(keys.log('a'));
    expect(await pttl()).toBeGreaterThan(5 * 600);
    expect(await pttl()).toBeLessThanOrEqual(6 * 600);
    await sleep(20);
    await throttle.stamp(slot);
    expect(Number(await redis.zscore(keys.log('a'), entry('call-1')))).toBeGreaterThanOrEqual(taken + 19);
    await redis.del(keys.log('a'));
    await throttle.stamp(slot);
    expect(await logged()).toEqual([entry('call-1')]);
    expect(await pttl()).toBeGreaterThan(5 * 600);
    expect(await pttl()).toBeLessThanOrEqual(6 * 600);
    expect(await waits(throttle, 'call-2')).toBe(true);
  });

  it('ends where no window holds more ends than the limit, however long the uploads take', async () => {
    const throttles = Array.from({ length: 3 }, () => throttleOf({ redis: connection() }));
    const ends = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const throttle = throttles[i % 3]!;
        const slot = await slotOf(throttle, `call-${i}`);
        await throttle.stamp(slot);
        // Each burst of five is faster than the one before, so that they would end together.
        await sleep(300 - 70 * Math.floor(i / 5));
        await throttle.end(slot);
        return Number(await redis.zscore(keys.ends('a'), entry(slot.call)));
      }),
    );
    const times = ends.toSorted((a, b) => a - b);
    for (let i = 5; i < times.length; i++) expect(times[i]! - times[i - 5]!).toBeGreaterThan(400);
    expect(await redis.pttl(keys.ends('a'))).toBeGreaterThan(400);
    expect(await redis.pttl(keys.ends('a'))).toBeLessThanOrEqual(800);
  });

  it('is held back at its end for half a window at most, and asks for nothing twice', async () => {
    const throttle = throttleOf({ limit: 1, windowMs: 1000 });
    const [one, two] = [await slotOf(throttle, 'call-1'), { run, call: 'call-2', account: 'a' } as Slot];
    await throttle.end(one);
    const took = async (slot: Slot): Promise<number> => {
      const asked = performance.now();
      await throttle.end(slot);
      return performance.now() - asked;
    };
    expect(await took(one)).toBeLessThan(100);
    // Its turn would come in a whole window: it is not held for that.
    expect(await took(two)).toBeLessThan(100);
    await sleep(700);
    expect(await took(two)).toBeGreaterThan(250);
    expect(await redis.zrange(keys.ends('a'), '0', '-1')).toEqual([entry('call-2')]);
  });

  it('ends as well where Redis is silent', async () => {
    const throttle = throttleOf({ windowMs: 1200 });
    const slot = await slotOf(throttle, 'call-1');
    await connection().call('CLIENT', 'PAUSE', '600', 'ALL');
    const asked = performance.now();
    await throttle.end(slot);
    expect(performance.now() - asked).toBeGreaterThanOrEqual(99);
    expect(performance.now() - asked).toBeLessThan(400);
    await redis.ping();
  });

  it('that is taken again when it is old counts on, since somebody may have sent it', async () => {
    const throttle = throttleOf({ limit: 1, windowMs: 900 });
    const first = await slotOf(throttle, 'call-1');
    await throttle.stamp(first);
    const sent = performance.now();
    await sleep(90);
    expect(throttle.isFresh(first)).toBe(false);
    expect((await slotOf(throttle, 'call-1')).fresh).toBe(true);
    expect(performance.now() - sent).toBeGreaterThan(890);
  });

  it('that was never sent goes back to the log', async () => {
    const throttle = throttleOf({ limit: 1, windowMs: 60_000 });
    const slot = await slotOf(throttle, 'call-1');
    await throttle.settle(slot, { ...free, sent: false });
    expect((await slotOf(throttle, 'call-2')).fresh).toBe(true);
  });
});

describe('leaving the line', () => {
  it('happens at once, with the reason, and blocks nobody', async () => {
    const throttle = throttleOf({ limit: 1, windowMs: 900 });
    await slotOf(throttle, 'call-1');
    const leave = new AbortController();
    const first = throttle.take(run, 'call-2', false, leave.signal);
    const behind = throttle.take(run, 'call-3', false, leave.signal);
    const next = slotOf(throttle, 'call-4');
    await sleep(30);
    const aborted = performance.now();
    leave.abort(new Error('the worker stops'));
    await expect(first).rejects.toThrow('the worker stops');
    await expect(behind).rejects.toThrow('the worker stops');
    expect(performance.now() - aborted).toBeLessThan(100);
    expect((await next).call).toBe('call-4');
    expect((await logged()).toSorted()).toEqual([entry('call-1'), entry('call-4')]);
  });

  it('lets the next be served at once, and leaves nothing behind', async () => {
    const throttle = throttleOf({ limit: 1, windowMs: 60_000 });
    await slotOf(throttle, 'call-1');
    await ledger.open('r2', () => ({ ...empty, state: 'paused' }));
    const head = new AbortController();
    const behind = new AbortController();
    const first = throttle.take(run, 'call-2', false, head.signal);
    const next = throttle.take('r2', 'call-3', false, behind.signal);
    await sleep(100);
    const aborted = performance.now();
    head.abort(new Error('the worker stops'));
    await expect(first).rejects.toThrow('the worker stops');
    expect(await next).toEqual({ none: 'paused' });
    // Who waits looks again every second.
    expect(performance.now() - aborted).toBeLessThan(500);
    for (const { signal } of [head, behind]) expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  it('gives back a slot that came too late', async () => {
    const throttle = throttleOf({ windowMs: 6000 });
    const leave = new AbortController();
    await redis.call('CLIENT', 'PAUSE', '150', 'WRITE');
    const turn = throttle.take(run, 'call-1', false, leave.signal);
    await sleep(20);
    leave.abort(new Error('gone'));
    await expect(turn).rejects.toThrow('gone');
    // Answered behind the script that gave the slot.
    await redis.set('behind', 1);
    await vi.waitFor(async () => expect(await inFlight()).toEqual([]));
    expect(await logged()).toEqual([]);
  });

  it('does not wait for a turn that is no longer wanted', async () => {
    const throttle = throttleOf({ limit: 1, windowMs: 60_000 });
    await slotOf(throttle, 'call-1');
    const head = new AbortController();
    const waiting = throttle.take(run, 'call-2', false, head.signal);
    const gone = AbortSignal.abort(new Error('already gone'));
    const asked = performance.now();
    await expect(throttle.take(run, 'call-3', false, gone)).rejects.toThrow('already gone');
    expect(performance.now() - asked).toBeLessThan(100);
    head.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });
});

describe('the cap', () => {
  it('reserves a credit for every call in flight and ends only when it is really spent', async () => {
    await ledger.open(run, () => ({ ...empty, cap: 3, charged: 1 }));
    const throttle = throttleOf({ limit: 100 });
    const first = await slotOf(throttle, 'call-1');
    const second = await slotOf(throttle, 'call-2');
    expect(await take(throttle, 'call-3')).toEqual({ none: 'yield', waitMs: 1000 });
    await throttle.settle(first, free);
    const third = await slotOf(throttle, 'call-3');
    await throttle.settle(second, { ...paid, charged: 'unknown' });
    expect(await take(throttle, 'call-4')).toMatchObject({ none: 'yield' });
    await throttle.settle(third, paid);
    expect(await take(throttle, 'call-4')).toEqual({ none: 'cap' });
    expect(await booked()).toMatchObject({ charged: '2', unknown: '1' });
    await ledger.open(run, () => ({ ...empty, cap: 4, charged: 2, unknown: 1 }));
    await slotOf(throttle, 'call-4');
  });

  it('holds when many rows want the last credits at once', async () => {
    await ledger.open(run, () => ({ ...empty, cap: 7 }));
    const throttles = [1, 2, 3].map(() => throttleOf({ limit: 100, redis: connection() }));
    const got = await Promise.all(Array.from({ length: 30 }, (_, i) => take(throttles[i % 3]!, `call-${i}`)));
    expect(got.filter((answer) => 'call' in answer)).toHaveLength(7);
  });

  it('bounds extra calls of their own, and lets others pass', async () => {
    await ledger.open(run, () => ({ ...empty, budget: 1 }));
    const throttle = throttleOf({ limit: 100 });
    const extra = await slotOf(throttle, 'call-1', true);
    expect(await take(throttle, 'call-2', true)).toMatchObject({ none: 'yield' });
    await slotOf(throttle, 'call-3');
    await throttle.settle(extra, paid);
    expect(await take(throttle, 'call-2', true)).toEqual({ none: 'budget' });
    expect(await booked()).toMatchObject({ charged: '1', extra: '1' });
  });

  it('counts a call once, however often it is settled', async () => {
    const throttle = throttleOf();
    const slot = await slotOf(throttle, 'call-1');
    for (let i = 0; i < 3; i++) await throttle.settle(slot, paid);
    await throttle.settle({ ...slot, call: 'never taken' }, paid);
    expect(await booked()).toMatchObject({ charged: '1', unknown: '0', extra: '0' });
  });

  it('counts charged answers in a row that are no pictures', async () => {
    const throttle = throttleOf({ limit: 100 });
    const inARow: number[] = [];
    for (const [i, unusable] of [true, true, undefined, true, false, true].entries()) {
      inARow.push(await throttle.settle(await slotOf(throttle, `call-${i}`), { ...paid, unusable }));
    }
    expect(inARow).toEqual([1, 2, 2, 3, 0, 1]);
  });
});

describe('a credit whose call is on record', () => {
  const signal = new AbortController().signal;

  it('is taken from the books by the end of the call only, whoever slept over the same slot', async () => {
    await ledger.open(run, () => ({ ...empty, cap: 1 }));
    const throttle = throttleOf({ windowMs: 6000 });
    const slot = await slotOf(throttle, 'call-1');
    const other = throttleOf({ windowMs: 6000, redis: connection() });
    const overtaken = await slotOf(other, 'call-1');
    expect(await throttle.holds(slot, signal)).toBe(true);
    await other.giveBack(overtaken);
    await redis.zadd(keys.log('a'), 1, entry('call-1'));
    await other.drop(run, 'call-1');
    expect(await take(other, 'call-1')).toEqual({ none: 'on record', account: 'a' });
    expect(await take(other, 'call-2')).toMatchObject({ none: 'yield' });
    await throttle.settle(slot, paid);
    expect(await take(other, 'call-2')).toEqual({ none: 'cap' });
    expect(await inFlight()).toEqual([]);
  });

  it('stays where books are opened that were read before it was', async () => {
    const throttle = throttleOf({ windowMs: 400 });
    const slot = await slotOf(throttle, 'call-1');
    await ledger.open(run, async () => {
      // Its record is written, and it is sent, when the records have been read already, which takes long.
      expect(await throttle.holds(slot, signal)).toBe(true);
      await throttle.stamp(slot);
      await sleep(2 * 400);
      return { ...empty, cap: 1 };
    });
    expect(await inFlight()).toEqual(['call-1']);
    expect(await take(throttle, 'call-2')).toMatchObject({ none: 'yield' });
  });
});

it('credits linger whose calls are on record, and began too long ago to be in flight', async () => {
  const throttle = throttleOf({ windowMs: 60_000 });
  const { signal } = new AbortController();
  for (const call of ['old', 'unlogged', 'young']) await throttle.holds(await slotOf(throttle, call), signal);
  await slotOf(throttle, 'not on record');
  const now = await redisNow();
  for (const call of ['old', 'not on record']) await redis.zadd(keys.log('a'), now - 20_000, entry(call));
  await redis.zrem(keys.log('a'), entry('unlogged'));
  expect((await ledger.lingering(run, 10_000)).sort()).toEqual(['old', 'unlogged']);
  expect(await ledger.lingering(run, 30_000)).toEqual(['unlogged']);
});

it('a slot that is given back leaves no trace, and an account that was to be tried with it is still to be', async () => {
  const throttle = throttleOf({ windowMs: 6000 });
  await throttle.park('a', 'no_credit', 1);
  await redis.hdel(keys.state('a'), 'probed');
  await throttle.giveBack(await slotOf(throttle, 'call-1'));
  expect(await logged()).toEqual([]);
  expect(await inFlight()).toEqual([]);
  expect((await slotOf(throttle, 'call-2')).account).toBe('a');
});

it('a slot that has grown old is left to whoever has it now', async () => {
  const throttle = throttleOf();
  const old = await slotOf(throttle, 'call-1');
  await sleep(40);
  expect((await slotOf(throttleOf({ redis: connection() }), 'call-1')).fresh).toBe(true);
  await throttle.giveBack(old);
  expect(await inFlight()).toEqual(['call-1']);
});

describe("a run's state", () => {
  it.each(['paused', 'cancelled'] as const)('%s: no row of it gets a slot', async (state) => {
    await redis.hset(keys.ledger(run), 'state', state);
    expect(await take(throttleOf(), 'call-1')).toEqual({ none: state });
    expect(await ledger.state(run)).toEqual({ state });
  });

  it('stops where an earlier try at it broke off half-way', async () => {
    await redis.hset(keys.ledger(run), 'stop_code', 8);
    await ledger.stop(run, 8, 'the cap is reached');
    expect(await take(throttleOf(), 'call-1')).toEqual({ none: 'stopped' });
    expect(await ledger.state(run)).toEqual({ state: 'stopped', stop: { code: 8, reason: '' } });
  });

  it('that nobody knows is a fault', async () => {
    await redis.hset(keys.ledger(run), 'state', 'odd');
    await expect(take(throttleOf(), 'call-1')).rejects.toThrow(`answered "odd"`);
  });

  it('stops for its first reason, and goes on when it is opened again', async () => {
    await ledger.stop(run, 8, 'the cap is reached');
    await ledger.stop(run, 13, 'too many failed');
    const stop = { code: 8, reason: 'the cap is reached' };
    expect(await ledger.state(run)).toEqual({ state: 'stopped', stop });
    expect(await take(throttleOf(), 'call-1')).toEqual({ none: 'stopped' });
    await ledger.open(run, () => empty);
    expect(await ledger.state(run)).toEqual({ state: 'running' });
    await slotOf(throttleOf(), 'call-1');
    await ledger.remove(run);
    expect(await ledger.state(run)).toBeUndefined();
    expect(await ledger.pause(run)).toBeUndefined();
    expect(await ledger.spent(run)).toEqual({ charged: 0, unknown: 0, open: 0, cap: undefined });
    expect(await redis.keys(`*${run}*`)).not.toContain(keys.open(run));
  });

  it('is noticed by a row that waits', async () => {
    const throttle = throttleOf({ limit: 1, windowMs: 60_000 });
    await slotOf(throttle, 'call-1');
    const waiting = take(throttle, 'call-2');
    await sleep(50);
    await redis.hset(keys.ledger(run), 'state', 'paused');
    expect(await waiting).toEqual({ none: 'paused' });
  });

  it('survives when the books are made again', async () => {
    await redis.hset(keys.ledger(run), 'state', 'cancelled', 'server', 'another');
    await redis.hset(keys.open(run), 'long over', '0:a');
    await ledger.mend(run, () => ({ ...empty, charged: 3 }));
    expect(await booked()).toMatchObject({ state: 'cancelled', charged: '3' });
    expect(await inFlight()).toEqual([]);
  });
});

describe('a parked account', () => {
  it('gets no call, and the run learns why once nothing is in flight', async () => {
    const throttle = throttleOf({ windowMs: 5000 });
    const slot = await slotOf(throttle, 'call-1');
    await throttle.park('a', 'unauthorized', 1);
    expect(await take(throttle, 'call-2')).toEqual({ none: 'parked meanwhile', reasons: 'unauthorized' });
    await throttle.settle(slot, free);
    expect(await take(throttle, 'call-2')).toEqual({ none: 'parked', reasons: 'unauthorized' });
  });

  it('leaves the work to the others', async () => {
    const throttle = throttleOf({ accounts: ['a', 'b', 'c'] });
    await throttle.park('a', 'no_credit', 1);
    await throttle.park('b', 'unauthorized', 1);
    for (let i = 0; i < 3; i++) expect((await slotOf(throttle, `call-${i}`)).account).toBe('c');
    await throttle.park('c', 'forbidden', 1);
    for (let i = 0; i < 3; i++) await throttle.settle({ run, call: `call-${i}`, account: 'c' }, free);
    expect(await take(throttle, 'call-9')).toEqual({
      none: 'parked',
      reasons: 'no_credit, unauthorized, forbidden',
    });
  });

  it('is not the only reason where the others have spent what they may on this day', async () => {
    const throttle = throttleOf({ accounts: ['a', 'b'] });
    const today = { credits: 1, began: () => Date.now() - 1000 };
    const ask = (call: string): Promise<Slot | NoSlot> =>
      throttle.take(run, call, false, new AbortController().signal, today);
    await throttle.park('a', 'no_credit', 1);
    expect(await ask('call-1')).toMatchObject({ account: 'b' });
    const elsewhere = createAccounts(redis, keys, ['b'], 5, 400);
    expect(await elsewhere.mayWork(today)).toBe(false);
    expect(await elsewhere.mayWork({ ...today, credits: 2 })).toBe(true);
    expect(await ask('call-2')).toEqual({ none: 'parked meanwhile', reasons: 'no_credit, day_spent' });
    await throttle.settle({ run, call: 'call-1', account: 'b' }, paid);
    expect(await ask('call-2')).toEqual({ none: 'parked', reasons: 'no_credit, day_spent' });
  });

  it('is tried with one call when somebody asks for it, and is free once that is answered', async () => {
    const throttle = throttleOf({ windowMs: 5000 });
    await throttle.park('a', 'no_credit', 1);
    await createAccounts(redis, keys, ['a'], 5, 400).probe();
    const probe = await slotOf(throttle, 'call-1');
    expect(await take(throttle, 'call-2')).toMatchObject({ none: 'parked meanwhile' });
    await throttle.settle(probe, free);
    expect(await take(throttle, 'call-2')).toMatchObject({ none: 'parked' });
    await createAccounts(redis, keys, ['a'], 5, 400).probe();
    await throttle.settle(await slotOf(throttle, 'call-2'), paid);
    for (let i = 3; i < 5; i++) await slotOf(throttle, `call-${i}`);
    expect(await state('parked')).toBeNull();
  });

  it('has not been tried by a call that was never sent', async () => {
    const throttle = throttleOf();
    await throttle.park('a', 'no_credit', 1);
    await createAccounts(redis, keys, ['a'], 5, 400).probe();
    await throttle.settle(await slotOf(throttle, 'unsent'), { ...free, sent: false });
    await throttle.settle(await slotOf(throttle, 'probe'), free);
    expect(await take(throttle, 'next')).toMatchObject({ none: 'parked' });
  });

  it('is tried again where Redis comes back with what it knew before, since it may have been let off meanwhile', async () => {
    const throttle = throttleOf();
    await slotOf(throttle, 'call-1');
    await throttle.park('a', 'no_credit', 1);
    await redis.hset(keys.state('a'), { server: 'the one before', left: 'the one before' });
    expect((await slotOf(throttle, 'call-2')).account).toBe('a');
    expect(await take(throttle, 'call-3')).toMatchObject({ none: 'parked meanwhile' });
  });

  it('is tried again by itself after ten windows', async () => {
    const throttle = throttleOf({ windowMs: 50 });
    await throttle.park('a', 'no_credit', 1);
    expect(await take(throttle, 'call-1')).toMatchObject({ none: 'parked' });
    await sleep(520);
    await slotOf(throttle, 'call-1');
  });

  it('is one whose firewall refused three times in a row', async () => {
    const throttle = throttleOf({ limit: 100 });
    const refuse = async (): Promise<string | null> => {
      await throttle.park('a', 'firewall', 3);
      return state('parked');
    };
    expect([await refuse(), await refuse()]).toEqual([null, null]);
    await throttle.settle(await slotOf(throttle, 'call-1'), paid);
    expect([await refuse(), await refuse(), await refuse()]).toEqual([null, null, 'firewall']);
  });
});

describe('a refusal', () => {
  it('pauses the account for all, as long as the server asks', async () => {
    const throttle = throttleOf({ windowMs: 600 });
    const slot = await slotOf(throttle, 'call-1');
    const refused = performance.now();
    await throttle.refused(slot, 350);
    await slotOf(throttleOf({ windowMs: 600, redis: connection() }), 'call-2');
    expect(performance.now() - refused).toBeGreaterThan(345);
  });

  it('pauses it for a sixth of the window where the server says nothing', async () => {
    const throttle = throttleOf({ windowMs: 600 });
    const slot = await slotOf(throttle, 'call-1');
    const before = await redisNow();
    await throttle.refused(slot, undefined);
    const from = Number(await state('paused')) - 100;
    expect(from).toBeGreaterThanOrEqual(before);
    expect(from).toBeLessThanOrEqual(await redisNow());
    await slotOf(throttle, 'call-2');
    expect(await redisNow()).toBeGreaterThanOrEqual(from + 100);
  });

  it('while the account pauses makes the pause longer, never shorter, and changes nothing else', async () => {
    const throttle = throttleOf({ limit: 30, windowMs: 60_000 });
    const slot = await slotOf(throttle, 'call-1');
    await throttle.refused(slot, 5000);
    const [paused, cap] = [Number(await state('paused')), await state('cap')];
    await throttle.refused(slot, 2000);
    expect(Number(await state('paused'))).toBe(paused);
    for (let i = 0; i < 5; i++) await throttle.refused(slot, 9000);
    expect(Number(await state('paused'))).toBeGreaterThan(paused + 3900);
    expect(await state('cap')).toBe(cap);
  });

  it('with a full log widens the guard as well: doubled a pause, to a twentieth of the window', async () => {
    const throttle = throttleOf({ limit: 5, windowMs: 1200 });
    const slot = await slotOf(throttle, 'call-1');
    for (let i = 2; i <= 5; i++) await slotOf(throttle, `call-${i}`);
    const guards: (string | null)[] = [];
    for (let i = 0; i < 4; i++) {
      await throttle.refused(slot, 1);
      guards.push(await state('guard'));
      await sleep(3);
      await throttle.stamp(slot);
    }
    expect(guards).toEqual(['20', '40', '60', '60']);
    expect(await state('cap')).toBe('3');
    const day = 86_400_000;
    await redis.hset(keys.state('a'), 'guard_at', Date.now() - day - 1000);
    await sleep(3);
    await throttle.refused(slot, 1);
    expect(await state('guard')).toBe('60');
    await redis.hset(keys.state('a'), 'guard_at', Date.now() - 3 * day);
    await sleep(3);
    await throttle.refused(slot, 1);
    expect(await state('guard')).toBe('20');
  });

  it('lowers the cap, which is kept and comes back by one a window', async () => {
    const throttle = throttleOf({ limit: 30, windowMs: 300 });
    const slot = await slotOf(throttle, 'call-0');
    const caps: (string | null)[] = [];
    for (let i = 0; i < 7; i++) {
      await throttle.refused(slot, 1);
      caps.push(await state('cap'));
      await sleep(3);
    }
    expect(caps).toEqual(['25', '20', '15', '10', '5', '3', '3']);
    expect(await state('guard')).toBeNull();
    await sleep(320);
    const given: number[] = [];
    for (let i = 1; i <= 9; i++) {
      const slot = await slotOf(throttle, `call-${i}`);
      given.push(Number(await redis.zscore(keys.log('a'), entry(slot.call))));
    }
    // Four in the first window after the pause.
    expect(given[4]! - given[0]!).toBeGreaterThan(300);
    expect(await state('cap')).toBe('5');
  });

  it('that goes on for fifteen windows parks the account', async () => {
    const throttle = throttleOf({ windowMs: 40 });
    const slot = await slotOf(throttle, 'call-1');
    await throttle.refused(slot, 1);
    await sleep(620);
    await throttle.refused(slot, 1);
    // Its answer was under way when the account was parked: only a call that was sent since then tells that it may work.
    await throttle.settle(slot, paid);
    expect(await state('parked')).toBe('rate_limited');
    await throttle.stamp(slot);
    await throttle.settle(slot, paid);
    await throttle.refused(slot, 1);
    expect(await state('parked')).toBeNull();
  });

  it('of yesterday does not park the account today', async () => {
    const throttle = throttleOf({ windowMs: 40 });
    const slot = await slotOf(throttle, 'call-1');
    await throttle.refused(slot, 1);
    await sleep(620);
    await createAccounts(redis, keys, ['a'], 5, 400).probe();
    await throttle.refused(slot, 1);
    expect(await state('parked')).toBeNull();
  });

  it('of a clock that was set back is forgotten', async () => {
    await redis.hset(keys.state('a'), 'paused', Date.now() + 86_400_000);
    await slotOf(throttleOf(), 'call-1');
    expect(await state('paused')).toBeNull();
  });
});

describe('a Redis that lost writes', () => {
  it('that was emptied gets its books from the records before it gives a slot', async () => {
    await ledger.open(run, () => ({ ...empty, cap: 3 }));
    const mend = vi.fn((run: string) =>
      ledger.mend(run, () => ({
        ...empty,
        cap: 3,
        charged: 1,
        unknown: 1,
        open: [{ call: 'call-0', account: 'a', extra: false }],
      })),
    );
    const throttle = throttleOf({ mend });
    await slotOf(throttle, 'call-1');
    await redis.flushall();
    expect(await take(throttle, 'call-2')).toMatchObject({ none: 'yield' });
    await throttle.settle({ run, call: 'call-0', account: 'a' }, paid);
    expect(await take(throttle, 'call-2')).toEqual({ none: 'cap' });
    expect(mend).toHaveBeenCalledOnce();
  });

  it('takes no books for true that were read before it lost writes once more', async () => {
    let reads = 0;
    const read = async (): Promise<Books> => {
      reads += 1;
      const charged = reads;
      // The first reader is slow: meanwhile another has made the books, a call has ended, and all is lost again.
      if (reads === 1) {
        await ledger.mend(run, () => ({ ...empty, cap: 3, charged: 1 }));
        await throttleOf().settle(await slotOf(throttleOf(), 'call-1'), paid);
        await redis.flushall();
      }
      return { ...empty, cap: 3, charged };
    };
    await redis.flushall();
    await ledger.mend(run, read);
    expect(await booked()).toMatchObject({ charged: '2' });
    await redis.flushall();
    await ledger.open(run, async () => {
      if (reads++ === 2) await redis.flushall();
      return { ...empty, charged: reads };
    });
    expect(await booked()).toMatchObject({ charged: '4' });
  });

  it('keeps the limit from the calls that the records know', async () => {
    const throttle = throttleOf({
      windowMs: 1000,
      mend: (run) =>
        createLedger(redis, keys, 1000).mend(run, () => ({
          ...empty,
          recent: Array.from({ length: 5 }, (_, i) => ({
            run,
            call: `sent-${i}`,
            account: 'a',
            at: Date.now(),
          })),
        })),
    });
    await redis.flushall();
    const asked = performance.now();
    const turn = slotOf(throttle, 'call-1');
    await vi.waitFor(async () => expect(await redis.pttl(keys.log('a'))).toBeGreaterThan(5000));
    expect(await redis.zcard(keys.ends('a'))).toBe(5);
    await turn;
    expect(performance.now() - asked).toBeGreaterThan(1000);
  });

  it('is mended by a call that ends, which counts once', async () => {
    const slot = await slotOf(throttleOf(), 'call-1');
    const open = [{ call: 'call-1', account: 'a', extra: true }];
    const throttle = throttleOf({ mend: (run) => ledger.mend(run, () => ({ ...empty, charged: 4, open })) });
    await redis.flushall();
    for (let i = 0; i < 2; i++) await throttle.settle(slot, { ...paid, charged: 'unknown' });
    expect(await booked()).toMatchObject({ charged: '4', unknown: '1', extra: '1' });
  });

  it.each<[string, () => Promise<unknown>]>([
    ['deleted', () => redis.del(keys.open(run))],
    ['overwritten', () => redis.set(keys.open(run), 'nonsense')],
  ])(
    'and the credits of calls in flight with them (%s) has them from the records (F34)',
    async (_how, lose) => {
      await ledger.open(run, () => ({ ...empty, cap: 2 }));
      const open = [1, 2].map((n) => ({ call: `call-${n}`, account: 'a', extra: false }));
      const throttle = throttleOf({ mend: (run) => ledger.mend(run, () => ({ ...empty, cap: 2, open })) });
      for (const { call } of open) await slotOf(throttle, call);
      await lose();
      expect(await take(throttle, 'call-3')).toMatchObject({ none: 'yield' });
      await throttle.settle({ run, call: 'call-1', account: 'a' }, paid);
      expect(await booked()).toMatchObject({ charged: '1' });
      expect(await inFlight()).toEqual(['call-2']);
    },
  );

  it('was mended by somebody else: his books stand', async () => {
    await ledger.mend(run, () => ({ ...empty, charged: 9 }));
    expect(await booked()).toMatchObject({ charged: '0' });
  });

  it('that was restarted empty is asked again, and makes no slot of before good for sending', async () => {
    await ledger.open(run, () => ({ ...empty, cap: 2 }));
    const mend = vi.fn((run: string) => ledger.mend(run, () => ({ ...empty, cap: 2, charged: 2 })));
    const throttle = throttleOf({ mend, windowMs: 60_000 });
    const slot = await slotOf(throttle, 'call-1');
    await server.restart();
    expect(await take(throttle, 'call-2')).toEqual({ none: 'cap' });
    expect(mend).toHaveBeenCalledOnce();
    expect(throttle.isFresh(slot)).toBe(false);
  });

  it('or may have lost some lets its accounts rest a window; one that was stopped properly does not', async () => {
    const keeping = await startRedis({ appendonly: true });
    const redis = new Redis(keeping.url, { maxRetriesPerRequest: null, retryStrategy: () => 50 });
    redis.on('error', () => undefined);
    connections.push(redis);
    try {
      const ledger = createLedger(redis, keys, 1000);
      const mend = (run: string): Promise<void> => ledger.mend(run, () => empty);
      const throttle = throttleOf({ redis, windowMs: 1000, mend });
      await ledger.open(run, () => empty);
      await slotOf(throttle, 'call-1');
      await sealLogs(redis);
      await keeping.restart();
      expect(await waits(throttle, 'call-2', 500)).toBe(false);
      await keeping.restart();
      const asked = performance.now();
      await slotOf(throttle, 'call-3');
      expect(performance.now() - asked).toBeGreaterThan(990);
    } finally {
      await keeping.close();
    }
  });

  describe("of the user's own", () => {
    const windowMs = 3000;
    let keeping: RedisServer;
    let redis: Redis;

    beforeEach(async () => {
      keeping = await startRedis({ appendonly: true });
      redis = new Redis(keeping.url, { maxRetriesPerRequest: null, retryStrategy: () => 50 });
      redis.on('error', () => undefined);
      connections.push(redis);
    });
    afterEach(() => keeping.close());

    /** A throttle in a boot of the machine. */
    async function inBoot(boot: string, account = 'a'): Promise<Throttle> {
      const ledger = createLedger(redis, keys, windowMs, boot);
      await ledger.open(run, () => empty);
      return throttleOf({
        redis,
        windowMs,
        accounts: [account],
        mend: (run) => ledger.mend(run, () => empty),
      });
    }

    it('that was killed has lost nothing: no account rests', async () => {
      const throttle = await inBoot('boot-1');
      for (let i = 0; i < 4; i++) await slotOf(throttle, `call-${i}`);
      for (const at of [4, 5]) {
        const server = await redis.hget(keys.server, 'server');
        await keeping.restart();
        expect(await waits(throttle, `call-${at}`, 500)).toBe(at === 5);
        expect(await redis.hget(keys.server, 'server')).not.toBe(server);
      }
      expect(await redis.hget(keys.ledger(run), 'lost')).toBeNull();
      expect(await redis.zcount(keys.log('a'), '(0', '+inf')).toBe(5);
    });

    it('rests once the machine has been down, also where another server has run since', async () => {
      await slotOf(await inBoot('boot-1'), 'call-1');
      for (const call of ['call-2', 'call-3']) {
        await keeping.restart();
        // The second one knows no account but its own.
        await slotOf(await inBoot('boot-2', 'other'), call);
      }
      const asked = performance.now();
      await slotOf(await inBoot('boot-2'), 'call-4');
      expect(performance.now() - asked).toBeGreaterThan(windowMs / 2);
    }, 20_000);
  });

  it('that comes back with its data but lost the connection makes slots stale too', async () => {
    await redis.config('SET', 'appendonly', 'yes');
    const throttle = throttleOf({ windowMs: 60_000 });
    const slot = await slotOf(throttle, 'call-1');
    const closed = new Promise((resolve) => redis.once('close', resolve));
    await connection().call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    await closed;
    expect(throttle.isFresh(slot)).toBe(false);
    const again = await slotOf(throttle, 'call-1');
    expect(again.fresh).toBe(false);
    expect(throttle.isFresh(again)).toBe(true);
  });

  it.each<[string, () => Promise<unknown>]>([
    ['deleted', () => redis.del(keys.log('a'))],
    [
      'deleted with all its account had',
      () => redis.del(keys.log('a'), paidKey(keys.log('a')), keys.state('a')),
    ],
    ['deleted with its run', () => redis.del(keys.log('a'), keys.ledger(run), keys.open(run))],
    ['overwritten', () => redis.set(keys.log('a'), 'nonsense')],
  ])('whose log was %s lets the account rest a window (F34)', async (_how, lose) => {
    const windowMs = 1000;
    const mend = (run: string): Promise<void> => ledger.mend(run, () => empty);
    const throttle = throttleOf({ windowMs, mend });
    const returned = await slotOf(throttle, 'call-0');
    await throttle.settle(returned, { ...free, sent: false });
    // A log that is empty is no lost one.
    expect(await waits(throttle, 'call-1', 500)).toBe(false);
    const sent = await slotOf(throttle, 'call-2');
    await lose();
    // What is under way comes back into the log, and makes it no whole one.
    await throttle.stamp(sent);
    const asked = performance.now();
    await slotOf(throttle, 'call-3');
    expect(performance.now() - asked).toBeGreaterThan(windowMs - 50);
    expect(await waits(throttle, 'call-4', 500)).toBe(false);
  });
});
