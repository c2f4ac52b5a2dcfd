import { stringify } from 'csv-stringify/sync';
import { quoteFormula } from '../cells.ts';
import type { Value } from './rows.ts';

const byteOrderMark = '\uFEFF';

/** A CSV line by line: BOM for spreadsheets, LF, formulas quoted (in the header too), nothing for null. */
export async function* csvTable(
  header: readonly string[],
  records: AsyncIterable<readonly Value[]> | Iterable<readonly Value[]>,
): AsyncGenerator<string> {
  yield byteOrderMark + csvLine(header);
  for await (const record of records) yield csvLine(record);
}

/** One record with its line end. */
export function csvLine(record: readonly Value[]): string {
  // csv-stringify itself quotes only the line end that it writes, while readers split at every one.
  return stringify([record.map(cellOf)], { quoted_match: /[\r\n]/ });
}

function cellOf(value: Value): string {
  return typeof value === 'string' ? quoteFormula(value) : String(value ?? '');
}
