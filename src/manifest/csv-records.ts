import { finished } from 'node:stream/promises';
import { Parser, type Options } from 'csv-parse';
import { systemCode, toError, UsageError } from '../errors.ts';
import { mostRecord } from './bounds.ts';
import { problemAt, type Flaw, type Problem } from './problem.ts';
import type { Text } from './text.ts';

/** A row of a CSV but for what its header says of it. */
export interface RawRecord {
  /** The physical line on which it starts, from 1. */
  line: number;
  cells: string[];
  /** A quoted cell goes on after its closing quotation mark. */
  isStray: boolean;
}

/** An array of more cells would be larger than the row. */
const mostCells = 1_000_000;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const quote = 0x22;

/**
 * All records but blank ones, up to the end, to a quotation mark that is never closed, or to a record without an end.
 * @param found takes why the rest can't be read
 */
export async function* readRawRecords(
  { parts, hasLineFeed }: Text,
  options: Options,
  found: (problem: Problem) => void,
): AsyncGenerator<RawRecord[]> {
  const separator = String(options.delimiter).charCodeAt(0);
  const ends = [options.record_delimiter ?? []].flat().map(String);
  const window = createWindow(hasLineFeed ? lineFeed : carriageReturn, separator);
  let records: RawRecord[] = [];
  const keep = (cells: string[], { bytes }: { bytes: number }): null => {
    const { line, raw } = window.take(bytes);
    if (cells.some((cell) => cell.trim() !== '')) {
      const isStray = cells.some((cell) => cell.startsWith('"')) && !isQuotedWell(raw, separator, ends);
      records.push({ line, cells, isStray });
    }
    return null;
  };
  const parser = new Parser({ ...options, on_record: keep });
  const end = finished(parser, { readable: false }).then(
    () => undefined,
    (error: unknown) => error,
  );
  for await (const text of parts()) {
    const bytes = Buffer.from(text);
    window.add(bytes);
    parser.write(bytes);
    window.forget();
    yield records;
    records = [];
    if (window.isEndless()) {
      found(problemAt({ line: window.line() }, endless));
      return;
    }
  }
  parser.end();
  const error = await end;
  yield records;
  if (error === undefined) return;
  if (systemCode(error) !== 'CSV_QUOTE_NOT_CLOSED') throw new UsageError(toError(error).message);
  found(problemAt({ line: window.line() }, openQuote));
}

const openQuote: Flaw = {
  problem:
    'a quotation mark is opened in the row that starts here and never closed: the rest of the file is unreadable',
  remedy: 'close it; a quotation mark that is text is written twice ("") inside a quoted cell',
};

const endless: Flaw = {
  problem:
    'the row that starts here has more than 50 MB or a million cells: the rest of the file is not read',
  remedy: 'close the quotation mark that it opens, or save its pictures as files and write their paths',
};

/** The bytes from the last record's end on, for what the parser doesn't tell: lines, and records as they are written. */
interface Window {
  add(bytes: Buffer): void;
  /** The record that ends at an offset in the whole text. */
  take(end: number): { line: number; raw: Buffer };
  /** Lets go of all records that were taken. */
  forget(): void;
  /** Has the record that is not yet taken grown beyond all bounds? */
  isEndless(): boolean;
  /** The line on which that record starts. */
  line(): number;
}

/** The parser's own counter takes CRLF in quotes for two lines. */
function createWindow(lineEnd: number, separator: number): Window {
  let pieces: Buffer[] = [];
  /** Offset of the first piece, and of the last record's end. */
  let [start, end] = [0, 0];
  let line = 1;
  let length = 0;
  let separators = 0;
  const joined = (): Buffer => {
    const bytes = pieces.length === 1 && pieces[0] ? pieces[0] : Buffer.concat(pieces);
    pieces = [bytes];
    return bytes;
  };
  /** Blank lines belong to no record. */
  const skipBlankLines = (bytes: Buffer): void => {
    let at = end - start;
    for (; bytes[at] === lineFeed || bytes[at] === carriageReturn; at++) if (bytes[at] === lineEnd) line++;
    end = start + at;
  };
  return {
    add(bytes) {
      pieces.push(bytes);
      length += bytes.length;
    },
    take(to) {
      const bytes = joined();
      skipBlankLines(bytes);
      const record = { line, raw: bytes.subarray(end - start, to - start) };
      line += count(record.raw, lineEnd);
      end = to;
      return record;
    },
    forget() {
      const last = pieces.at(-1);
      if (end === start) {
        if (last) separators += count(last, separator);
        return;
      }
      // A copy, since a view would keep all of it.
      pieces = [Buffer.from(joined().subarray(end - start))];
      length -= end - start;
      start = end;
      separators = 0;
    },
    isEndless: () => length > mostRecord || separators > mostCells,
    line() {
      skipBlankLines(joined());
      return line;
    },
  };
}

function count(bytes: Buffer, byte: number): number {
  let found = 0;
  for (let at = bytes.indexOf(byte); at >= 0; at = bytes.indexOf(byte, at + 1)) found++;
  return found;
}

/** The lenient parser reads `"12" screen"` as text with all three marks; here such a cell is found out. */
function isQuotedWell(raw: Buffer, separator: number, ends: string[]): boolean {
  for (let at = 0; at < raw.length; at++) {
    if (raw[at] !== quote) {
      at = raw.indexOf(separator, at);
      if (at < 0) return true;
      continue;
    }
    const closing = closingQuote(raw, at);
    if (closing < 0) return false;
    at = closing + 1;
    if (at < raw.length && raw[at] !== separator) return ends.includes(raw.toString('latin1', at, at + 3));
  }
  return true;
}

/** The next quotation mark that isn't doubled; below zero where there is none. */
function closingQuote(raw: Buffer, opening: number): number {
  let at = raw.indexOf(quote, opening + 1);
  while (at >= 0 && raw[at + 1] === quote) at = raw.indexOf(quote, at + 2);
  return at;
}
