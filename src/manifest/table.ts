import { parse, type Options } from 'csv-parse/sync';
import { systemCode, toError, UsageError } from '../errors.ts';
import { isOversized, longCell, mostCell, mostColumns } from './bounds.ts';
import { type Flaw, problemAt, type Problem } from './problem.ts';

/** A record as it stands in the file. */
export interface TableRecord {
  /** The physical line on which it starts, from 1; of a folder's pictures, which have none, the how-manieth it is. */
  line: number;
  /** The picture's path in a folder that is the manifest. */
  file?: string;
  /** May be fewer than the header's where the rest is empty. */
  cells: string[];
  /** Its form is broken, so that its cells can't be trusted. */
  flaw?: Problem;
}

export interface Table {
  /** The columns' names, trimmed. */
  header: string[];
  /** The header's line, from 1. */
  line: number;
  /** All records but blank ones. */
  records: TableRecord[];
  /** What is wrong with the table as a whole. */
  problems: Problem[];
  /** Remarks that stop nothing. */
  notes?: Problem[];
  /** The folder whose pictures the records are. */
  folder?: string;
}

interface RawRecord {
  line: number;
  cells: string[];
  /** Its bytes, made only when asked for: a million views cost more memory than the file. */
  raw: () => Buffer;
}

/**
 * A table separated by comma, semicolon or tab, quoted or not, with any line end.
 * @param isKnown is this the name of a column that the manifest knows? It helps to recognise the separator.
 */
export function parseTable(text: string, isKnown: (name: string) => boolean): Table {
  const bytes = Buffer.from(text);
  const separator = sniffSeparator(text, isKnown);
  const options = parserOptions(text, separator);
  const { records, unclosed } = parseRecords(bytes, options);
  const [first, ...rest] = records;
  const problems = unclosed === undefined ? [] : [problemAt({ line: unclosed }, openQuote)];
  if (!first) return { header: [], line: 1, records: [], problems };
  const header = first.cells.map((name) => name.trim());
  const oversized = headerFlaw(header);
  if (oversized) problems.unshift(problemAt({ line: first.line }, oversized));
  const check = (record: RawRecord): TableRecord => checkForm(record, header, separator, options);
  return { header, line: first.line, records: oversized ? [] : rest.map(check), problems };
}

const openQuote: Flaw = {
  problem:
    'a quotation mark is opened in the row that starts here and never closed: the rest of the file is unreadable',
  remedy: 'close it; a quotation mark that is text is written twice ("") inside a quoted cell',
};

/** The separator that makes most known columns of the header line, and most columns where that is equal. */
function sniffSeparator(text: string, isKnown: (name: string) => boolean): string {
  const head = text.slice(0, 65_536);
  const scored = [',', ';', '\t'].map((separator) => {
    const names = firstCells(head, separator);
    return { separator, known: names.filter(isKnown).length, count: names.length };
  });
  scored.sort((a, b) => b.known - a.known || b.count - a.count);
  return scored[0]?.separator ?? ',';
}

function firstCells(head: string, separator: string): string[] {
  try {
    return parse(head, { ...parserOptions(head, separator), to: 1 })[0] ?? [];
  } catch {
    return [];
  }
}

/** Quotation marks inside unquoted cells (12" monitor) are text, as every spreadsheet reads them. */
function parserOptions(text: string, separator: string): Options {
  return {
    delimiter: separator,
    record_delimiter: text.includes('\n') ? ['\r\n', '\n'] : ['\r'],
    relax_quotes: true,
    relax_column_count: true,
    skip_empty_lines: true,
  };
}

/** Up to the end or to a quotation mark that is never closed; then the line where that row starts. */
function parseRecords(bytes: Buffer, options: Options): { records: RawRecord[]; unclosed?: number } {
  const records: RawRecord[] = [];
  const cursor = lineCursor(bytes);
  let end = 0;
  const keep = (cells: string[], info: { bytes: number }): null => {
    const start = skipLineEnds(bytes, end);
    const size = info.bytes - start;
    end = info.bytes;
    const isBlank = cells.every((cell) => cell.trim() === '');
    const raw = (): Buffer => bytes.subarray(start, start + size);
    if (!isBlank) records.push({ line: cursor(start), cells, raw });
    return null;
  };
  try {
    parse(bytes, { ...options, on_record: keep });
    return { records };
  } catch (error) {
    if (systemCode(error) !== 'CSV_QUOTE_NOT_CLOSED') throw new UsageError(toError(error).message);
    return { records, unclosed: cursor(skipLineEnds(bytes, end)) };
  }
}

function skipLineEnds(bytes: Buffer, from: number): number {
  let at = from;
  while (bytes[at] === 0x0a || bytes[at] === 0x0d) at++;
  return at;
}

/** Line numbers of ever later offsets; the parser's own counter takes CRLF in quotes for two lines. */
function lineCursor(bytes: Buffer): (offset: number) => number {
  const lineEnd = bytes.includes(0x0a) ? 0x0a : 0x0d;
  let line = 1;
  let next = bytes.indexOf(lineEnd);
  return (offset) => {
    for (; next >= 0 && next < offset; next = bytes.indexOf(lineEnd, next + 1)) line++;
    return line;
  };
}

function headerFlaw(header: string[]): Flaw | undefined {
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

function checkForm(
  { line, cells, raw }: RawRecord,
  header: string[],
  separator: string,
  options: Options,
): TableRecord {
  if (cells.some((cell) => cell.startsWith('"')) && !isQuotedWell(raw(), separator, options)) {
    return { line, cells, flaw: problemAt({ line }, strayQuote) };
  }
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

/**
 * Does the record say exactly what its cells say? The lenient parser reads `"12" screen"` as text with all three marks;
 * written out again such a cell differs.
 */
function isQuotedWell(raw: Buffer, separator: string, options: Options): boolean {
  const written: string[] = [];
  const write = (cell: string, { quoting }: { quoting: boolean }): string => {
    written.push(quoting ? `"${cell.replaceAll('"', '""')}"` : cell);
    return cell;
  };
  parse(raw, { ...options, cast: write });
  return written.join(separator) === raw.toString().replace(/[\r\n]+$/, '');
}
