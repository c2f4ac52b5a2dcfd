import type { Check } from './books.ts';
import type { Trend } from './trend.ts';

/** One line a measure: where it stands, how it moves, how far it may. */
export function trendTable(trends: Trend[]): string {
  const head = ['', 'mean', 'an hour', '10,000 calls', 'drift', 'at most', ''];
  const lines = trends.map(({ name, unit, mean, perHour, per10kCalls, drift, bound, grows }) => [
    unit === '' ? name : `${name}, ${unit}`,
    mean.toFixed(1),
    signed(perHour),
    signed(per10kCalls),
    signed(drift),
    bound === undefined ? '' : bound.toFixed(1),
    bound === undefined ? '' : grows ? 'GROWS' : 'ok',
  ]);
  const table = [head, ...lines];
  const widths = head.map((_, i) => Math.max(...table.map((line) => line[i]?.length ?? 0)));
  return table
    .map((line) =>
      line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))),
    )
    .map((line) => `  ${line.join('  ').trimEnd()}`)
    .join('\n');
}

const signed = (value: number): string => `${value < 0 ? '' : '+'}${value.toFixed(2)}`;

export function checkList(checks: Check[]): string {
  return checks.map(({ says, holds }) => `  ${holds ? 'ok   ' : 'WRONG'} ${says}`).join('\n');
}
