import { expect, it } from 'vitest';
import { Column } from '../../src/column.ts';

it('holds numbers by their places, page after page', () => {
  const numbers = Array.from({ length: 20_000 }, (_, n) => n * 1.5);
  const column = new Column(Float64Array);
  for (const number of numbers) column.push(number);
  expect(column.length).toBe(20_000);
  expect(numbers.map((_, place) => column.at(place))).toEqual(numbers);
  expect([column.at(20_000), column.at(24_576)]).toEqual([0, 0]);
});
