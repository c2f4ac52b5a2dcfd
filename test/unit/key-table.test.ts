import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { KeyTable } from '../../src/key-table.ts';

it('holds what a Map holds', () => {
  const key = fc.oneof(fc.constantFrom('', 'a', 'é', '🙂'), fc.string({ maxLength: 3 }));
  const step = fc.tuple(key, fc.option(fc.double({ noNaN: true })));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const table = new KeyTable();
      const map = new Map<string, number>();
      for (const [key, number] of steps) {
        if (table.get(key) !== map.get(key) || table.has(key) !== map.has(key)) return false;
        if (number === null) continue;
        table.set(key, number);
        map.set(key, number);
      }
      return table.size === map.size && [...map].every(([key, number]) => table.get(key) === number);
    }),
  );
});

it('grows, and keeps the numbers of a hundred thousand keys', () => {
  const table = new KeyTable();
  for (let n = 0; n < 100_000; n++) table.set(`SKU-${n}`, n * 2 ** 30);
  for (let n = 0; n < 100_000; n += 3) table.set(`SKU-${n}`, -n);
  expect(table.size).toBe(100_000);
  const isKept = (n: number): boolean => table.get(`SKU-${n}`) === (n % 3 === 0 ? -n : n * 2 ** 30);
  expect(Array.from({ length: 100_000 }, (_, n) => n).filter((n) => !isKept(n))).toEqual([]);
  expect(table.has('SKU-100000')).toBe(false);
});

it('takes at most 20 bytes a key, however many there are', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  const before = process.memoryUsage().arrayBuffers;
  const table = new KeyTable();
  for (const many of [60_000, 110_000]) {
    for (let n = table.size; n < many; n++) table.set(`SKU-${n}`, n);
    // What is let go is freed a moment later, by another thread.
    await expect.poll(() => (collect(), process.memoryUsage().arrayBuffers - before) / many).toBeLessThan(20);
  }
  expect([table.size, table.get('SKU-109999')]).toEqual([110_000, 109_999]);
});
