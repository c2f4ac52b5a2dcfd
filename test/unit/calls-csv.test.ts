import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { createCallsCsv } from '../../src/report/books.ts';

it('calls.csv is by time, and calls of the same moment stay in order', () => {
  const times = fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 40 });
  fc.assert(
    fc.property(times, (seconds) => {
      const csv = createCallsCsv();
      const calls = seconds.map((second, n) => ({ id: `é${n}`, at: `2026-11-01T10:00:0${second}.000Z` }));
      for (const { id, at } of calls)
        csv.add({
          id,
          at,
          n: 1,
          run: 'r1',
          route: 1,
          account: 'a',
          outcome: 'succeeded',
          charged: 'yes',
          attempt: true,
        });
      const lines = [...csv.lines()].slice(1).map((line) => line.split(',').slice(0, 3));
      csv.close();
      const sorted = calls.toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at));
      expect(lines).toEqual(sorted.map(({ id, at }) => [at, 'r1', id]));
    }),
  );
});
