import { expect, it } from 'vitest';
import { expectedBytes } from '../../src/batch/room.ts';

it.each([
  ['1K', 1.05],
  ['2K', 4.19],
  ['4K', 14.7],
  ['1200x800', 0.96],
])('a picture of %s takes about %f MB', (size, megabytes) => {
  expect(expectedBytes(size) / 1e6).toBeCloseTo(megabytes, 1);
});
