import { parse } from 'csv-parse/sync';
import type { Options } from 'csv-parse';
import { isOversized, longCell } from './bounds.ts';
import { readRawRecords, type RawRecord } from './csv-records.ts';
import { headerAt, headerFlaw, mostAbove, recordsAbove, titleNote } from './header.ts';
import { problemAt, type Flaw, type Problem } from './problem.ts';
import { firstParts } from './source.ts';
import type { Table, TableRecord } from './table.ts';
import type { Text } from './text.ts';

/** The separator is looked for in so many characters. */
const headLength = 65_536;

/**
 * A table separated by comma, semicolon or tab, quoted or not, with any line end.
 * @param isKnown is this the name of a column that the manifest knows? It helps to recognise the separator.
 * @returns undefined where there is nothing in it
 */
export async function openCsv(text: Text, isKnown: (name: string) => boolean): Promise<Table | undefined> {
  const head = (await firstParts(text.parts, headLength)).join('').slice(0, headLength);
  const separator = sniffSeparator(head, isKnown);
  const options = parserOptions(separator, text.hasLineFeed);
  const broken: Problem[] = [];
  const above = await recordsAbove(
    readRawRecords(text, options, (problem) => broken.push(problem)),
    isKnown,
  );
  const at = headerAt(above, isKnown);
  const first = above[at];
  if (!first && broken.length === 0) return undefined;
  const header = first?.cells.map((name) => name.trim()) ?? [];
  const { line } = first ?? { line: 1 };
  const flaw = headerFlaw(header);
  // What breaks further down is found there again.
  const problems = flaw ? [problemAt({ line }, flaw)] : first ? [] : broken;
  async function* records(found: (problem: Problem) => void): AsyncGenerator<TableRecord[]> {
    if (problems.length > 0) return;
    for await (const some of readRawRecords(text, options, found)) {
      yield some.filter((record) => record.line > line).map((record) => checkForm(record, header, separator));
    }
  }
  const notes = at > 0 ? [problemAt({ line }, titleNote)] : [];
  return { header, line, problems, notes, records, placeAt: (line) => ({ line }) };
}

/** The separator that makes most known columns of the header, and most columns where that is equal. */
function sniffSeparator(head: string, isKnown: (name: string) => boolean): string {
  const scored = [',', ';', '\t'].map((separator) => {
    const records = recordsOf(head, separator);
    const names = records[headerAt(records, isKnown)]?.cells ?? [];
    return { separator, known: names.filter(isKnown).length, count: names.length };
  });
  scored.sort((a, b) => b.known - a.known || b.count - a.count);
  return scored[0]?.separator ?? ',';
}

/** The first records, as far as they are whole. */
function recordsOf(head: string, separator: string): { cells: string[] }[] {
  const records: { cells: string[] }[] = [];
  const keep = (cells: string[]): null => {
    if (cells.some((cell) => cell.trim() !== '')) records.push({ cells });
    return null;
  };
  try {
    parse(head, { ...parserOptions(separator, head.includes('\n')), to: mostAbove, on_record: keep });
  } catch {
    // The head ends within a quoted cell.
  }
  return records;
}

/** Quotation marks inside unquoted cells (12" monitor) are text, as every spreadsheet reads them. */
function parserOptions(separator: string, hasLineFeed: boolean): Options {
  return {
    delimiter: separator,
    record_delimiter: hasLineFeed ? ['\r\n', '\n'] : ['\r'],
    relax_quotes: true,
    relax_column_count: true,
    skip_empty_lines: true,
  };
}

function checkForm({ line, cells, isStray }: RawRecord, header: string[], separator: string): TableRecord {
  if (isStray) return { line, cells, flaw: problemAt({ line }, strayQuote) };
  if (cells.length !== header.length) {
    return { line, cells, flaw: problemAt({ line }, raggedRow(cells.length, header.length, separator)) };
  }
  const at = cells.findIndex(isOversized);
  if (at < 0) return { line, cells };
  return { line, cells, flaw: problemAt({ line, column: header[at], value: cells[at] }, longCell) };
}

const strayQuote: Flaw = {
  problem: 'a quoted cell goes on after its closing quotation mark',
  remedy: 'write a quotation mark that is text twice ("") inside a quoted cell',
};

function raggedRow(cells: number, columns: number, separator: string): Flaw {
  const name = separator === '\t' ? 'tab' : `"${separator}"`;
  return {
    problem: `the row has ${cells} cells, but the header has ${columns} columns`,
    remedy: `a text that holds a ${name} must stand in quotation marks; an empty cell still needs its ${name}`,
  };
}
