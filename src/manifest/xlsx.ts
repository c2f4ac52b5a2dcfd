import { isOversized, longCell } from './bounds.ts';
import { headerAt, headerFlaw, recordsAbove, titleNote } from './header.ts';
import { problemAt, type Flaw, type Problem } from './problem.ts';
import type { Parts } from './source.ts';
import type { Table, TableRecord } from './table.ts';
import { openWorkbook, type SheetRow } from './workbook.ts';

/**
 * A sheet of an Excel workbook.
 * @param sheet its name; undefined: the first one
 * @param isKnown is this the name of a column that the manifest knows?
 * @returns undefined where there is nothing in it
 * @throws UsageError where it is no workbook, is damaged, or has no such sheet
 */
export async function openXlsx(
  bytes: Parts<Buffer>,
  file: string,
  sheet: string | undefined,
  isKnown: (name: string) => boolean,
): Promise<Table | undefined> {
  const { rows, name, others } = await openWorkbook(bytes, file, sheet);
  const above = await recordsAbove(rows(), isKnown);
  const at = headerAt(above, isKnown);
  const first = above[at];
  if (!first) return undefined;
  const { line } = first;
  const header = first.cells.map((cell) => cell.trim());
  const flaw = headerFlaw(header);
  const notes: Problem[] = [];
  if (at > 0) notes.push(problemAt({ line }, titleNote));
  if (sheet === undefined && others.length > 0) notes.push(problemAt({}, otherSheets(name, others)));
  async function* records(): AsyncGenerator<TableRecord[]> {
    if (flaw) return;
    for await (const some of rows())
      yield some.filter((row) => row.line > line).map((row) => checkRow(row, header));
  }
  return {
    header,
    line,
    problems: flaw ? [problemAt({ line }, flaw)] : [],
    notes,
    records,
    placeAt: (line) => ({ line }),
  };
}

const otherSheets = (name: string, others: string[]): Flaw => ({
  problem: `only the sheet "${name}" is read`,
  remedy: `for another one add --sheet: ${others.map((other) => `"${other}"`).join(', ')}`,
});

function checkRow({ line, cells }: SheetRow, header: string[]): TableRecord {
  const beyond = cells.findIndex((cell, at) => at >= header.length && cell.trim() !== '');
  if (beyond >= 0) return { line, cells, flaw: problemAt({ line, value: cells[beyond] }, beyondHeader) };
  const at = cells.findIndex(isOversized);
  if (at < 0) return { line, cells };
  return { line, cells, flaw: problemAt({ line, column: header[at], value: cells[at] }, longCell) };
}

const beyondHeader: Flaw = {
  problem: 'a cell stands to the right of the last column that has a name',
  remedy: 'name its column in the header, or remove it',
};
