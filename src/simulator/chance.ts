/** Numbers from 0 up to, but not including, 1. */
export type Random = () => number;

/**
 * The chance of one call: the same seed and place in the order of arrival give the same numbers, however calls overlap.
 * The generator is mulberry32.
 */
export function chanceOf(seed: number, call: number): Random {
  let state = (seed ^ Math.imul(call, 0x9e3779b1)) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
