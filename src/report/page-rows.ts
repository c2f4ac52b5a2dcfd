import type { Row } from '../model.ts';
import { isDone, type ReportRow } from './rows.ts';

/** More rows than this make a page that no browser likes. */
const mostRows = 20_000;

/** Chooses the rows that the page shows: all, or where there are too many those that are not done, then the first others. */
export interface PageRows {
  add(row: Pick<ReportRow, 'status'> & { row: Pick<Row, 'row'> }): void;
  /** Is the row of this number shown? To be asked when all were added. */
  wanted(): (row: number) => boolean;
  /** The number of the last one that is shown, likewise. */
  last(): number;
  /** How many rows are not shown. */
  left(): number;
}

export function choosePageRows(most = mostRows): PageRows {
  const done: number[] = [];
  const undone: number[] = [];
  let all = 0;
  const shown = (): number[] => [...undone, ...done.slice(0, most - undone.length)];
  return {
    add({ status, row: { row } }) {
      all += 1;
      const kind = isDone(status) ? done : undone;
      if (kind.length < most) kind.push(row);
    },
    wanted() {
      const numbers = new Set(shown());
      return (row) => numbers.has(row);
    },
    last: () => shown().reduce((last, row) => Math.max(last, row), 0),
    left: () => Math.max(0, all - most),
  };
}
