import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  concurrency,
  guardMs,
  pauseMs,
  probeAfterMs,
  refusingForMs,
  slotLifeMs,
  widestGuardMs,
  type Load,
} from '../../src/throttle/policy.ts';

const minute = 60_000;

describe('times', () => {
  it('are what was measured, for a minute', () => {
    expect(guardMs(minute)).toBe(500);
    expect(widestGuardMs(minute)).toBe(3000);
    expect(slotLifeMs(minute)).toBe(5000);
    expect(probeAfterMs(minute)).toBe(10 * minute);
    expect(refusingForMs(minute)).toBe(15 * minute);
  });

  it('pause as long as the server says, within reason, else a sixth of a window', () => {
    expect(pauseMs(minute, undefined)).toBe(10_000);
    expect(pauseMs(minute, 0)).toBe(0);
    expect(pauseMs(minute, 42_000)).toBe(42_000);
    expect(pauseMs(minute, Infinity)).toBe(15 * minute);
  });

  it('fit into each other in any window', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 86_400_000 }), (windowMs) => {
        expect(guardMs(windowMs)).toBeLessThan(widestGuardMs(windowMs));
        // A slot that is sent at the end of its life is still in the log.
        expect(slotLifeMs(windowMs) + widestGuardMs(windowMs)).toBeLessThan(windowMs);
        expect(probeAfterMs(windowMs)).toBeLessThan(refusingForMs(windowMs));
      }),
    );
  });

  it('pause no longer than an account may refuse, and no shorter for a longer wish', () => {
    const ms = fc.nat(10_000_000);
    fc.assert(
      fc.property(ms, ms, ms, (windowMs, wish, more) => {
        expect(pauseMs(windowMs, wish)).toBeLessThanOrEqual(Math.min(wish, refusingForMs(windowMs)));
        expect(pauseMs(windowMs, wish + more)).toBeGreaterThanOrEqual(pauseMs(windowMs, wish));
      }),
    );
  });
});

describe('concurrency', () => {
  const load: Load = {
    limit: 30,
    windowMs: minute,
    accounts: 1,
    processes: 1,
    latencyMs: undefined,
    memoryBytes: 2 ** 40,
  };

  it.each([
    [undefined, 90],
    [10_000, 30],
    [60_000, 39],
    [100_000, 65],
    [180_000, 90],
    [900_000, 90],
  ])('of calls that take %s ms is %i', (latencyMs, calls) => {
    expect(concurrency({ ...load, latencyMs })).toBe(calls);
  });

  it('is shared by processes, multiplied by accounts and bounded by memory', () => {
    expect(concurrency({ ...load, processes: 4 })).toBe(23);
    expect(concurrency({ ...load, accounts: 3 })).toBe(270);
    expect(concurrency({ ...load, memoryBytes: 64 * 2 ** 20 })).toBe(16);
  });

  it('is never below two, and in all processes together never below one window', () => {
    const loads = fc.record({
      limit: fc.integer({ min: 1, max: 600 }),
      windowMs: fc.integer({ min: 400, max: 3_600_000 }),
      accounts: fc.integer({ min: 1, max: 9 }),
      processes: fc.integer({ min: 1, max: 50 }),
      latencyMs: fc.option(fc.integer({ min: 1, max: 900_000 }), { nil: undefined }),
      memoryBytes: fc.constant(2 ** 50),
    });
    fc.assert(
      fc.property(loads, (load) => {
        const calls = concurrency(load);
        expect(Number.isInteger(calls)).toBe(true);
        expect(calls).toBeGreaterThanOrEqual(2);
        expect(calls * load.processes).toBeGreaterThanOrEqual(load.limit * load.accounts);
        expect(concurrency({ ...load, memoryBytes: 0 })).toBe(2);
        const faster = { ...load, latencyMs: (load.latencyMs ?? 900_000) / 2 };
        expect(concurrency(faster)).toBeLessThanOrEqual(calls);
        expect(calls).toBeLessThanOrEqual(Math.max(2, 3 * load.limit * load.accounts));
      }),
    );
  });
});
