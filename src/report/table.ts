import { stringify } from 'csv-stringify/sync';
import { quoteFormula } from '../cells.ts';
import type { Value } from './rows.ts';

const byteOrderMark = '\uFEFF';

/** A text file with a line an item. */
export interface Table<Item> {
  /** What stands before the lines. */
  head: string;
  /** The item's line with its end; empty where it has none. */
  line(item: Item): string;
}

/** A CSV's first line: BOM for spreadsheets, LF, formulas quoted. */
export const csvHead = (header: readonly string[]): string => byteOrderMark + csvLine(header);

/** One record with its line end; nothing for null. */
export function csvLine(record: readonly Value[]): string {
  // csv-stringify itself quotes only the line end that it writes, while readers split at every one.
  return stringify([record.map(cellOf)], { quoted_match: /[\r\n]/ });
}

function cellOf(value: Value): string {
  return typeof value === 'string' ? quoteFormula(value) : String(value ?? '');
}
