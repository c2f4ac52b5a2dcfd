import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { forecast, type ForecastLoad } from '../../src/throttle/forecast.ts';

const minute = 60_000;
const account = { sentAgo: [], limit: 30, pausedMs: 0 };
const load: ForecastLoad = {
  accounts: [account],
  widthMs: 60_500,
  waiting: 0,
  inFlight: 0,
  latencyMs: 10_000,
  again: 0,
  againAfterMs: 1000,
  capacity: undefined,
};

describe('forecast', () => {
  it('counts windows, not a rate: 31 rows wait for a second window, 30 do not', () => {
    expect(forecast({ ...load, waiting: 30 })).toBe(10_000);
    expect(forecast({ ...load, waiting: 31 })).toBe(70_500);
    expect(forecast({ ...load, waiting: 300 })).toBe(9 * 60_500 + 10_000);
  });

  it('goes by the sends that are still in the log', () => {
    const sentAgo = Array.from({ length: 30 }, (_, i) => 20_000 + i);
    expect(forecast({ ...load, accounts: [{ ...account, sentAgo }], waiting: 1 })).toBe(40_471 + 10_000);
    const few = sentAgo.slice(0, 29);
    expect(forecast({ ...load, accounts: [{ ...account, sentAgo: few }], waiting: 1 })).toBe(10_000);
  });

  it('takes the calls in flight for the latest sends', () => {
    const sentAgo = [9000, 50_000, 4000];
    expect(forecast({ ...load, accounts: [{ ...account, sentAgo }], inFlight: 2 })).toBe(6000);
  });

  it('gives calls that are out a place in flight, and those that have ended none', () => {
    const ended = { ...account, sentAgo: [1000, 2000] };
    expect(forecast({ ...load, accounts: [ended], waiting: 1, inFlight: 1, capacity: 2 })).toBe(10_000);
    const slow = { ...load, latencyMs: 180_500, accounts: [{ ...account, sentAgo: [1000] }] };
    expect(forecast({ ...slow, waiting: 1, inFlight: 1, capacity: 2 })).toBe(180_500);
  });

  it('spreads calls in flight that have left the log up to a latency', () => {
    expect(forecast({ ...load, inFlight: 60, latencyMs: 180_500 })).toBe(120_000 - 1000);
  });

  it('waits for a place in flight', () => {
    expect(forecast({ ...load, waiting: 10, capacity: 5, latencyMs: 7000 })).toBe(14_000);
    expect(forecast({ ...load, waiting: 11, capacity: 5, latencyMs: 7000 })).toBe(21_000);
  });

  it('waits for a paused account unless another has room', () => {
    const paused = { ...account, pausedMs: 5 * minute };
    expect(forecast({ ...load, accounts: [paused], waiting: 1 })).toBe(5 * minute + 10_000);
    expect(forecast({ ...load, accounts: [paused, account], waiting: 30 })).toBe(10_000);
  });

  it('repeats a share of the calls after they have ended', () => {
    expect(forecast({ ...load, waiting: 20, again: 0.1 })).toBe(10_000 + 1000 + 10_000);
    expect(forecast({ ...load, waiting: 4, again: 0.1 })).toBe(10_000);
    // One by one; the first call and the third, which repeats it, are repeated: at 20 s, and a second after 30 s.
    expect(forecast({ ...load, waiting: 2, again: 0.5, capacity: 1 })).toBe(41_000);
  });

  it('says nothing before the first answer or without an account, and 0 when nothing is left', () => {
    expect(forecast({ ...load, waiting: 1, latencyMs: undefined })).toBeUndefined();
    expect(forecast({ ...load, waiting: 1, accounts: [] })).toBeUndefined();
    expect(forecast({ ...load, waiting: 1, accounts: [{ ...account, limit: 0 }] })).toBeUndefined();
    expect(forecast({ ...load, latencyMs: undefined })).toBe(0);
  });

  it('never says that an overdue call has ended in the past, and ends when every call is repeated', () => {
    const late = { ...account, sentAgo: [30_000] };
    expect(forecast({ ...load, accounts: [late], inFlight: 1 })).toBe(0);
    expect(forecast({ ...load, waiting: 100, again: 1 })).toBeGreaterThan(20 * minute);
  });

  it('says it quickly for 100,000 rows', () => {
    const began = performance.now();
    const accounts = Array.from({ length: 4 }, () => account);
    const left = forecast({ ...load, accounts, waiting: 100_000, again: 0.1, capacity: 100 });
    expect(performance.now() - began).toBeLessThan(1000);
    expect(left! / ((100_000 / 0.9 / 120) * 60_500)).toBeCloseTo(1, 2);
  });
});

describe('the forecast of any load', () => {
  const loads = fc.record({
    accounts: fc.array(
      fc.record({
        sentAgo: fc.array(fc.integer({ min: 0, max: 300_000 }), { maxLength: 40 }),
        limit: fc.integer({ min: 1, max: 30 }),
        pausedMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 900_000 })),
      }),
      { minLength: 1, maxLength: 3 },
    ),
    widthMs: fc.integer({ min: 6000, max: 61_000 }),
    waiting: fc.nat(200),
    inFlight: fc.nat(60),
    latencyMs: fc.integer({ min: 1, max: 300_000 }),
    again: fc.double({ min: 0, max: 1, noNaN: true }),
    againAfterMs: fc.constant<number>(1000),
    capacity: fc.option(fc.integer({ min: 1, max: 90 }), { nil: undefined }),
  });
  const known = { widthMs: 6000, waiting: 181, inFlight: 24, latencyMs: 98_433, again: 0 };
  const says = (load: ForecastLoad): number => forecast(load) ?? NaN;

  it('is no shorter than the limit and the places in flight allow, and a call long where one is to be made', () => {
    fc.assert(
      fc.property(loads, (load) => {
        const { waiting, latencyMs, widthMs, capacity = Infinity } = load;
        const inWindow = load.accounts.reduce((sum, { limit }) => sum + limit, 0);
        const byLimit = Math.ceil(waiting / inWindow - 1) * widthMs + latencyMs;
        const byPlaces = Math.ceil(waiting / capacity) * latencyMs;
        if (waiting === 0) return;
        expect(says(load)).toBeGreaterThanOrEqual(Math.max(byLimit, byPlaces) - 0.001);
        const firstMs = Math.min(...load.accounts.map(({ pausedMs }) => pausedMs));
        expect(says(load)).toBeGreaterThanOrEqual(firstMs + latencyMs);
      }),
    );
  });

  it('grows with rows and pauses, not with room, and knows no order of sends', () => {
    fc.assert(
      fc.property(loads, fc.nat(2), (load, at) => {
        const before = says({ ...load, again: 0 });
        const but = (over: Partial<ForecastLoad>): number => says({ ...load, again: 0, ...over });
        const one = load.accounts[at % load.accounts.length]!;
        const others = load.accounts.filter((account) => account !== one);
        expect(but({ waiting: load.waiting + 1 })).toBeGreaterThanOrEqual(before);
        expect(but({ capacity: (load.capacity ?? Infinity) + 1 })).toBeLessThanOrEqual(before);
        expect(
          but({ accounts: [...others, { ...one, pausedMs: one.pausedMs + 1000 }] }),
        ).toBeGreaterThanOrEqual(before);
        const turned = { ...one, sentAgo: one.sentAgo.toReversed() };
        expect(but({ accounts: [...others, turned] })).toBe(before);
      }),
      {
        examples: [
          // More calls are out than sends are known, one of which has left the window.
          [
            {
              ...load,
              ...known,
              capacity: 62,
              accounts: [{ sentAgo: [0, 0, 0, 0, 8433], limit: 4, pausedMs: 0 }],
            },
            0,
          ],
        ],
      },
    );
  });
});

interface Course {
  latencyMs: number;
  rows: number;
  accounts: number;
  capacity?: number;
  /** Is this call followed by another? Its number counts from 0 over the whole run. */
  repeats?: (call: number) => boolean;
}

interface Asked {
  says: number | undefined;
  truth: number;
}

/**
 * A whole run in ticks of 100 ms, knowing nothing of rings or of the forecast's order: who may send, sends, when the
 * log of a width holds fewer than the limit. Asks the forecast as soon as a quarter and three quarters of the rows
 * are settled, with what a run knows at that moment, and compares with what was then still to come.
 */
function play(course: Course): Asked[] {
  const { latencyMs, rows, accounts, capacity = Infinity, repeats = () => false } = course;
  const memoryMs = Math.max(latencyMs, load.widthMs);
  const tick = 100;
  const logs: number[][] = Array.from({ length: accounts }, () => []);
  const ready = Array.from({ length: rows }, () => 0);
  const out: { endsAt: number; again: boolean }[] = [];
  const asked: { at: number; says: number | undefined }[] = [];
  let sent = 0;
  let ended = 0;
  let settled = 0;
  let now = 0;
  for (; settled < rows; now += tick) {
    while (out[0] && out[0].endsAt <= now) {
      ended += 1;
      if (out.shift()?.again) ready.push(now + load.againAfterMs);
      else settled += 1;
    }
    for (const log of logs) {
      while (log[0] !== undefined && log[0] < now - memoryMs) log.shift();
      const inWindow = (): number => log.filter((at) => at > now - load.widthMs).length;
      while (ready[0] !== undefined && ready[0] <= now && out.length < capacity && inWindow() < 30) {
        ready.shift();
        log.push(now);
        out.push({ endsAt: now + latencyMs, again: repeats(sent++) });
      }
    }
    for (const share of [0.25, 0.75]) {
      if (asked.length === (share === 0.25 ? 0 : 1) && settled >= share * rows && settled < rows) {
        const says = forecast({
          ...load,
          accounts: logs.map((log) => ({ limit: 30, pausedMs: 0, sentAgo: log.map((at) => now - at) })),
          waiting: rows - settled - out.length,
          inFlight: out.length,
          latencyMs,
          again: (ended - settled) / ended,
          capacity: capacity === Infinity ? undefined : capacity,
        });
        asked.push({ at: now, says });
      }
    }
  }
  return asked.map(({ at, says }) => ({ says, truth: now - tick - at }));
}

/** Of the time that remains; where less than a latency remains, and all is in flight, of a latency. */
const errorOf = ({ says, truth }: Asked, latencyMs: number): number =>
  Math.abs((says ?? Infinity) - truth) / Math.max(truth, latencyMs);

/** The same seed, the same chances. */
function chance(seed: number): () => number {
  let state = seed * 7919;
  return () => (state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32) / 2 ** 32;
}

describe.each([10, 60, 180])('the forecast of a run with calls of %i s', (seconds) => {
  const latencyMs = seconds * 1000;

  it('is right within 10 % at a quarter and at three quarters, on one account and on two', () => {
    for (const accounts of [1, 2]) {
      for (const rows of [100, 145, 300, 601, 2000]) {
        const asked = play({ latencyMs, rows, accounts });
        expect(asked.length, `${rows} rows`).toBeGreaterThan(0);
        for (const one of asked) expect(errorOf(one, latencyMs), `${rows} rows`).toBeLessThan(0.1);
      }
    }
  });

  it('is right within 10 % when the second and last window of a run is out', () => {
    const [half] = play({ latencyMs, rows: 60, accounts: 1 });
    expect(errorOf(half!, latencyMs)).toBeLessThan(0.1);
  });

  it('is right within 10 % where places in flight are scarcer than slots', () => {
    const asked = play({ latencyMs, rows: 200, accounts: 1, capacity: 4 });
    expect(asked).toHaveLength(2);
    for (const one of asked) expect(errorOf(one, latencyMs)).toBeLessThan(0.1);
  });

  // Nobody knows whether the last calls will be repeated: that is a latency more or less, near the end most of the rest.
  it('is right within 10 % at a quarter, more often than not, with a tenth of the calls repeated by chance', () => {
    const errors: number[] = [];
    for (const seed of Array.from({ length: 15 }, (_, i) => i + 1)) {
      const random = chance(seed);
      const [quarter] = play({ latencyMs, rows: 2000, accounts: 1, repeats: () => random() < 0.1 });
      errors.push(errorOf(quarter!, latencyMs));
    }
    expect(errors.toSorted((a, b) => a - b)[7]).toBeLessThan(0.1);
  });
});
