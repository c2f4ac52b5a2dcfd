import { expect, it } from 'vitest';
import { allFaults } from '../../scripts/soak/faults.ts';
import { thinned, trendOf, type Sample } from '../../scripts/soak/trend.ts';
import { faultNames, parseFaults } from '../../src/simulator/faults.ts';

const bound = { measure: 'files', name: 'open files', unit: '', most: 2 };
/** An hour, a sample a minute, a thousand calls a minute. */
const hour = (files: (minute: number) => number): Sample[] =>
  Array.from({ length: 61 }, (_, minute) => ({ s: minute * 60, calls: minute * 1000, files: files(minute) }));

it('a leak of a handle in 20,000 calls is a slope, and grows beyond its bound', () => {
  const trend = trendOf(
    hour((minute) => 24 + minute / 20),
    bound,
  );
  expect(trend?.perHour).toBeCloseTo(3);
  expect(trend?.per10kCalls).toBeCloseTo(0.5);
  expect(trend?.drift).toBeCloseTo(3);
  expect(trend?.grows).toBe(true);
});

it('a saw is no leak, nor is what falls', () => {
  expect(
    trendOf(
      hour((minute) => 24 + (minute % 6)),
      bound,
    )?.grows,
  ).toBe(false);
  expect(
    trendOf(
      hour((minute) => 100 - minute),
      bound,
    )?.grows,
  ).toBe(false);
});

it('a share is of the mean', () => {
  const shared = { measure: 'files', name: 'open files', unit: '', share: 0.1 };
  expect(
    trendOf(
      hour((minute) => 100 + minute / 10),
      shared,
    ),
  ).toMatchObject({ mean: 103, grows: false });
  expect(
    trendOf(
      hour((minute) => 100 + minute / 5),
      shared,
    )?.grows,
  ).toBe(true);
});

it('what was measured less than three times has no slope', () => {
  expect(
    trendOf(
      hour(() => 24),
      { ...bound, measure: 'elsewhere' },
    ),
  ).toBeUndefined();
});

it('thinned samples are spread evenly and end with the last', () => {
  const all = Array.from({ length: 1000 }, (_, i) => i);
  expect(thinned(all, 4)).toEqual([249, 499, 749, 999]);
  expect(thinned(all.slice(0, 3), 4)).toEqual([0, 1, 2]);
});

it('every fault of the simulator strikes, 2 % of the calls together', () => {
  const faults = parseFaults(allFaults());
  expect(faults).toHaveLength(faultNames.length);
  expect(faults.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(0.02, 6);
});
