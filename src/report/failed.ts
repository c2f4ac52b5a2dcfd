import type { Picture } from '../model.ts';
import { isDone, ownCells, resultOf, type ReportRow, type Value } from './rows.ts';
import { csvTable } from './table.ts';

const rowColumns = ['id', 'image', 'prompt', 'size', 'ratio', 'route', 'output'];

/**
 * `failed.csv`: the rows that did not succeed, as a manifest with absolute paths. A column of the user's that is named
 * like one of the manifest's own (after `--map`) becomes `col_<name>`, or it would be read in its place.
 */
export function failedCsv(rows: AsyncIterable<ReportRow>, columns: string[]): AsyncGenerator<string> {
  const own = columns.map((name) => (rowColumns.includes(name.toLowerCase()) ? `col_${name}` : name));
  return csvTable([...rowColumns, ...own, 'error_code', 'error_message'], cellsOf(rows, columns));
}

async function* cellsOf(rows: AsyncIterable<ReportRow>, columns: string[]): AsyncGenerator<Value[]> {
  for await (const failed of rows) {
    if (isDone(failed.status)) continue;
    const { row } = failed;
    const image = row.pictures.map(addressOf).join('|');
    const own = ownCells(row, columns);
    const { error_code: code, error_message: message } = resultOf(failed);
    yield [row.id, image, row.prompt, row.size, row.ratio, row.route, row.output, ...own, code, message];
  }
}

function addressOf(picture: Picture): string {
  return picture.kind === 'file' ? picture.path : picture.url;
}
