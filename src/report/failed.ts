import type { Picture } from '../model.ts';
import { isDone, ownCells, type ResultRow, type Value } from './rows.ts';
import { csvHead, csvLine, type Table } from './table.ts';

const rowColumns = ['id', 'image', 'prompt', 'size', 'ratio', 'route', 'output'];

/**
 * `failed.csv`: the rows that did not succeed, as a manifest with absolute paths. A column of the user's that is named
 * like one of the manifest's own (after `--map`) becomes `col_<name>`, or it would be read in its place.
 */
export function failedCsv(columns: string[]): Table<ResultRow> {
  const own = columns.map((name) => (rowColumns.includes(name.toLowerCase()) ? `col_${name}` : name));
  return {
    head: csvHead([...rowColumns, ...own, 'error_code', 'error_message']),
    line: (row) => (isDone(row.of.status) ? '' : csvLine(cellsOf(row, columns))),
  };
}

function cellsOf({ of: { row }, result }: ResultRow, columns: string[]): Value[] {
  const image = row.pictures.map(addressOf).join('|');
  const own = ownCells(row, columns);
  const { error_code: code, error_message: message } = result;
  return [row.id, image, row.prompt, row.size, row.ratio, row.route, row.output, ...own, code, message];
}

function addressOf(picture: Picture): string {
  return picture.kind === 'file' ? picture.path : picture.url;
}
