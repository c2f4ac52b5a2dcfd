import { createLongList, type LongList } from '../long-list.ts';

/** Sorts more paths than memory may hold. */
export interface PathSorter {
  add(path: string): void;
  /** All of them in order, once: then they are gone. */
  drain(): Generator<string>;
}

/** By name, numbers in names by their value: the same on every machine, which a locale's order isn't. */
export const byName = (a: string, b: string): number => (sortKey(a) < sortKey(b) ? -1 : 1);

/** Keys are in the order of their paths, of which only one has each; no path holds NUL, which comes before all else. */
const sortKey = (path: string): string =>
  `${path.normalize('NFC').replaceAll(/\d+/g, (digits) => digits.padStart(20, '0'))}\0${path}`;

const pathOf = (key: string): string => key.slice(key.indexOf('\0') + 1);

/** @param mostHeld characters that are sorted in memory; each such part of the paths waits on the disk to be merged */
export function createPathSorter(mostHeld: number): PathSorter {
  const parts: LongList<string>[] = [];
  let keys: string[] = [];
  let held = 0;
  return {
    add(path) {
      const key = sortKey(path);
      keys.push(key);
      held += key.length;
      if (held < mostHeld) return;
      const part = createLongList<string>();
      for (const one of keys.sort()) part.push(pathOf(one));
      parts.push(part);
      [keys, held] = [[], 0];
    },
    *drain() {
      for (const key of merged([...parts.map(keysOf), keys.sort().values()])) yield pathOf(key);
      for (const part of parts) part.close();
    },
  };
}

function* keysOf(paths: Iterable<string>): Generator<string> {
  for (const path of paths) yield sortKey(path);
}

/** In halves, so that each key is compared as seldom as can be. */
function merged(sorted: IterableIterator<string>[]): IterableIterator<string> {
  const half = Math.floor(sorted.length / 2);
  if (half === 0) return sorted[0] ?? [].values();
  return merge(merged(sorted.slice(0, half)), merged(sorted.slice(half)));
}

function* merge(some: IterableIterator<string>, others: IterableIterator<string>): Generator<string> {
  let other = others.next();
  for (const one of some) {
    for (; !other.done && other.value < one; other = others.next()) yield other.value;
    yield one;
  }
  for (; !other.done; other = others.next()) yield other.value;
}
