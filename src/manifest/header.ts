import type { Flaw } from './problem.ts';
import { mostCell, mostColumns } from './bounds.ts';

/** A table's names are looked for in so many records. */
export const mostAbove = 10;

/**
 * Which of the first records names the columns: a title may stand above them. It is the first one, unless that has no
 * name that is known, and a fuller one below has.
 * @param isKnown is this the name of a column that the manifest knows?
 */
export function headerAt(records: { cells: string[] }[], isKnown: (name: string) => boolean): number {
  const filled = ({ cells }: { cells: string[] }): number =>
    cells.filter((cell) => cell.trim() !== '').length;
  const first = records[0];
  if (!first || first.cells.some(isKnown)) return 0;
  const at = records.findIndex((record) => filled(record) > filled(first) && record.cells.some(isKnown));
  return Math.max(0, at);
}

/** The records that `headerAt` must see: one where that has a known name, since rows may be large. */
export async function recordsAbove<T extends { cells: string[] }>(
  records: AsyncIterable<T[]>,
  isKnown: (name: string) => boolean,
): Promise<T[]> {
  const above: T[] = [];
  for await (const some of records) {
    above.push(...some.slice(0, mostAbove - above.length));
    if (above.length >= mostAbove || above.some(({ cells }) => cells.some(isKnown))) break;
  }
  return above;
}

/** What stands above the names is no row. */
export const titleNote: Flaw = {
  problem: "the columns' names stand here: what is above them is left out",
  remedy: 'nothing, if that is a title',
};

export function headerFlaw(header: string[]): Flaw | undefined {
  if (header.length > mostColumns) {
    return {
      problem: `the header has ${header.length} columns, more than ${mostColumns}`,
      remedy: 'check that the first line is the header and remove the columns that are not needed',
    };
  }
  if (!header.some((name) => name.length > mostCell)) return undefined;
  return {
    problem: 'the first line holds a cell of more than 1 MB, so it is no header',
    remedy: "put the columns' names into the first line",
  };
}
