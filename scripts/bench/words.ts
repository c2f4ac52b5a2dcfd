/** A Markdown table; all columns but the first are set to the right. */
export function markdownTable(head: string[], rows: string[][]): string {
  const rule = head.map((_, column) => (column === 0 ? '---' : '---:'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/** The same for a terminal. */
export function plainTable(head: string[], rows: string[][]): string {
  const lines = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...lines.map((cells) => cells[column]?.length ?? 0)));
  const pad = (cell: string, column: number): string =>
    column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0);
  return lines.map((cells) => cells.map(pad).join('  ')).join('\n');
}

export const whole = (value: number): string => Math.round(value).toLocaleString('en-US');
export const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;
export const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 9950 ? 2 : 1)} s`;
export const megabytes = (mb: number): string => `${whole(mb)} MB`;
/** How many times as much. */
export const times = (value: number, of: number): string =>
  `${(value / of).toFixed(value / of < 9.95 ? 1 : 0)}×`;

/** The middle one; of an even number the lower of the two. */
export function median<T>(values: T[], measure: (value: T) => number): T {
  const sorted = values.toSorted((a, b) => measure(a) - measure(b));
  const middle = sorted[(sorted.length - 1) >> 1];
  if (middle === undefined) throw new Error('nothing was measured');
  return middle;
}
