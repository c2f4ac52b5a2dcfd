import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { byName, createPathSorter } from '../../src/manifest/path-sorter.ts';

/** The order of ids in every output there is: it must never change. */
function simply(a: string, b: string): number {
  const keyOf = (path: string): string =>
    path.normalize('NFC').replaceAll(/\d+/g, (digits) => digits.padStart(20, '0'));
  const [x, y] = [keyOf(a), keyOf(b)];
  if (x === y) return a < b ? -1 : 1;
  return x < y ? -1 : 1;
}

const piece = fc.oneof(
  fc.constantFrom(...Array.from('aA/ !.-019\u0001\n"\uFFFD')),
  fc.constantFrom('é', 'e\u0301', '\u0301', '🙂', '\uFF21', '第', '٣', '00', '10'),
  fc.constantFrom('2'.repeat(19), '1'.repeat(20), '1'.repeat(21)),
  fc.string({ unit: 'binary', maxLength: 3 }).map((text) => text.replaceAll('\0', '')),
);
const paths = fc.uniqueArray(
  fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join('')),
  { maxLength: 60 },
);

it('sorts by name and the value of numbers, however few of the paths are in memory at a time', () => {
  fc.assert(
    fc.property(paths, fc.integer({ min: 1, max: 3000 }), (paths, mostHeld) => {
      const sorter = createPathSorter(mostHeld);
      for (const path of paths) sorter.add(path);
      const inOrder = paths.toSorted(simply);
      expect([...sorter.drain()]).toEqual(inOrder);
      expect(paths.toSorted(byName)).toEqual(inOrder);
    }),
    { numRuns: 500 },
  );
});
