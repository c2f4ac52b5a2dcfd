import { posix } from 'node:path';
import { SaxesParser, type SaxesTagPlain } from 'saxes';
import { fromBufferPromise, type Entry } from 'yauzl';
import { printable } from '../cells.ts';
import { toError, UsageError } from '../errors.ts';
import type { Parts } from './source.ts';

/** A row of a sheet as it stands there; what is not there is an empty cell. */
export interface SheetRow {
  /** Its number in the sheet, from 1. */
  line: number;
  cells: string[];
}

/** A sheet of an Excel workbook, read from its start as often as asked. */
export interface Sheet {
  /** Rows that hold something, some at a time. */
  rows: Parts<SheetRow[]>;
  /** Its name, and those of the others. */
  name: string;
  others: string[];
}

/** Of the file as it is, and of what it unpacks to: a few kilobytes of it may stand for gigabytes. */
const mostPacked = 256 * 1024 * 1024;
const mostUnpacked = 4 * 1024 ** 3;
/** Characters of all texts that cells share, which are held in memory. */
const mostShared = 50_000_000;
const mostEntries = 10_000;
/** Excel's own bound. */
const mostColumns = 16_384;

/**
 * Opens a workbook (.xlsx).
 * @param wanted the sheet's name; undefined: the first one
 * @throws UsageError where it is none, is damaged, or has no such sheet; also while it is read
 */
export async function openWorkbook(
  bytes: Parts<Buffer>,
  file: string,
  wanted: string | undefined,
): Promise<Sheet> {
  const parts = await unzip(await packed(bytes, file), file);
  const { sheets, from1904 } = await readWorkbook(parts);
  const sheet = wanted === undefined ? sheets[0] : sheets.find(({ name }) => name === wanted);
  const names = sheets.map(({ name }) => `"${printable(name, 40)}"`).join(', ');
  if (!sheet)
    throw new UsageError(
      wanted === undefined
        ? `${file}: the workbook has no sheet: save it again as .xlsx`
        : `--sheet ${printable(wanted, 40)}: ${file} has no such sheet; its sheets are: ${names}`,
    );
  const shared = await readShared(parts, file);
  const formats = await readFormats(parts, from1904);
  return {
    name: sheet.name,
    others: sheets.flatMap(({ name }) => (name === sheet.name ? [] : [name])),
    rows: () => readRows(parts, sheet.path, shared, formats),
  };
}

/** The XML of one part of the workbook, as the parser's events. */
type Part = (path: string, on: Handlers) => AsyncIterable<void>;

interface Handlers {
  open?(name: string, attributes: Record<string, string>): void;
  close?(name: string): void;
  text?(text: string): void;
}

async function packed(bytes: Parts<Buffer>, file: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of bytes()) {
    pieces.push(piece);
    length += piece.length;
    if (length > mostPacked) throw new UsageError(`${file} has more than 256 MB: save it as .csv`);
  }
  return Buffer.concat(pieces);
}

async function unzip(bytes: Buffer, file: string): Promise<Part> {
  const entries = new Map<string, Entry>();
  const damaged = (error: unknown): UsageError =>
    error instanceof UsageError
      ? error
      : new UsageError(
          `${file} is no workbook that can be read: ${printable(toError(error).message)}: save it again as .xlsx`,
        );
  const zip = await fromBufferPromise(bytes, { lazyEntries: true }).catch((error: unknown) => {
    throw damaged(error);
  });
  try {
    for await (const entry of zip.eachEntry()) {
      entries.set(entry.fileName, entry);
      if (entries.size > mostEntries)
        throw new UsageError(`${file} holds more than ${mostEntries} parts: save the sheet as .csv`);
    }
  } catch (error) {
    throw damaged(error);
  }
  return async function* (path, on) {
    const entry = entries.get(path);
    if (!entry) return;
    if (entry.uncompressedSize > mostUnpacked)
      throw new UsageError(`${file} unpacks to more than 4 GB: save the sheet as .csv`);
    const parser = new SaxesParser();
    const local = ({ name }: SaxesTagPlain): string => name.slice(name.indexOf(':') + 1);
    parser.on('opentag', (tag) => on.open?.(local(tag), tag.attributes));
    parser.on('closetag', (tag) => on.close?.(local(tag)));
    parser.on('text', (text) => on.text?.(text));
    parser.on('cdata', (text) => on.text?.(text));
    try {
      const decoder = new TextDecoder('utf-8', { fatal: true });
      for await (const piece of (await zip.openReadStreamPromise(entry)) as AsyncIterable<Buffer>) {
        parser.write(decoder.decode(piece, { stream: true }));
        yield;
      }
      parser.close();
      yield;
    } catch (error) {
      throw damaged(error);
    }
  };
}

/** Takes all that a part tells. */
async function readPart(part: AsyncIterable<void>): Promise<void> {
  for await (const _ of part);
}

async function readWorkbook(
  part: Part,
): Promise<{ sheets: { name: string; path: string }[]; from1904: boolean }> {
  const found: { name: string; id: string }[] = [];
  let from1904 = false;
  await readPart(
    part('xl/workbook.xml', {
      open(name, attributes) {
        if (name === 'workbookPr') from1904 = /^(1|true)$/.test(attributes['date1904'] ?? '');
        if (name === 'sheet') found.push({ name: attributes['name'] ?? '', id: attributes['r:id'] ?? '' });
      },
    }),
  );
  const paths = new Map<string, string>();
  await readPart(
    part('xl/_rels/workbook.xml.rels', {
      open(name, attributes) {
        if (name === 'Relationship')
          paths.set(attributes['Id'] ?? '', posix.resolve('/xl', attributes['Target'] ?? '').slice(1));
      },
    }),
  );
  const sheets = found.flatMap(({ name, id }) => {
    const path = paths.get(id);
    return path === undefined ? [] : [{ name, path }];
  });
  return { sheets, from1904 };
}

/** The texts that cells share. Those of rich text are put together; how it is to be pronounced is left out. */
async function readShared(part: Part, file: string): Promise<string[]> {
  const shared: string[] = [];
  const collect = createCollector();
  let length = 0;
  await readPart(
    part('xl/sharedStrings.xml', {
      open: collect.open,
      text: collect.text,
      close(name) {
        collect.close(name);
        if (name !== 'si') return;
        const text = collect.take();
        length += text.length;
        if (length > mostShared)
          throw new UsageError(`${file} holds more than 50 MB of text: save the sheet as .csv`);
        shared.push(text);
      },
    }),
  );
  return shared;
}

/** Puts together what stands in `t` and `v`, but for phonetic hints. */
function createCollector(): Required<Handlers> & { take(): string } {
  let [pieces, isText, hints] = [[] as string[], false, 0];
  return {
    open(name) {
      if (name === 'rPh') hints++;
      isText = (name === 't' || name === 'v') && hints === 0;
    },
    text(text) {
      if (isText) pieces.push(text);
    },
    close(name) {
      if (name === 'rPh') hints--;
      isText = false;
    },
    take() {
      const text = pieces.join('');
      pieces = [];
      return text;
    },
  };
}

/** A number as its cell shows it, as far as that matters: dates, and leading zeros. */
type ShowNumber = (style: string | undefined, number: string) => string;

/** Excel's own formats of dates and times. */
const isDateFormat = (id: number): boolean =>
  (id >= 14 && id <= 22) || (id >= 27 && id <= 36) || (id >= 45 && id <= 47) || (id >= 50 && id <= 58);

async function readFormats(part: Part, from1904: boolean): Promise<ShowNumber> {
  const codes = new Map<number, string>();
  const styles: number[] = [];
  let isCell = false;
  await readPart(
    part('xl/styles.xml', {
      open(name, attributes) {
        if (name === 'numFmt') codes.set(Number(attributes['numFmtId']), attributes['formatCode'] ?? '');
        if (name === 'cellXfs') isCell = true;
        if (name === 'xf' && isCell) styles.push(Number(attributes['numFmtId'] ?? 0));
      },
      close(name) {
        if (name === 'cellXfs') isCell = false;
      },
    }),
  );
  return (style, number) => {
    const id = styles[Number(style ?? 0)] ?? 0;
    const code = codes.get(id);
    // What is quoted, escaped or in brackets is no part of a date.
    const letters = code?.replaceAll(/"[^"]*"|\\.|\[[^\]]*\]/g, '') ?? '';
    if (code === undefined ? isDateFormat(id) : /[ymdhs]/i.test(letters))
      return dateOf(Number(number), from1904);
    const plain = plainNumber(number);
    return code !== undefined && /^0+$/.test(code) ? plain.padStart(code.length, '0') : plain;
  };
}

/** Excel writes 1.1 as 1.1000000000000001, and large numbers with an exponent. */
function plainNumber(text: string): string {
  if (/^-?\d+$/.test(text)) return text;
  const number = Number(text);
  if (!Number.isFinite(number)) return text;
  return Number.isInteger(number) ? BigInt(number).toString() : String(number);
}

const dayMs = 86_400_000;

/** Days since the end of 1899, or of 1903; a part of a day is its time. */
function dateOf(days: number, from1904: boolean): string {
  const zero = from1904 ? Date.UTC(1904, 0, 1) : Date.UTC(1899, 11, 30);
  const at = new Date(Math.round((zero + days * dayMs) / 1000) * 1000);
  if (Number.isNaN(at.getTime())) return String(days);
  const [date = '', time = ''] = at.toISOString().replace('.000Z', '').split('T');
  if (days < 1) return time;
  return time === '00:00:00' ? date : `${date} ${time}`;
}

async function* readRows(
  part: Part,
  path: string,
  shared: string[],
  show: ShowNumber,
): AsyncGenerator<SheetRow[]> {
  const collect = createCollector();
  let rows: SheetRow[] = [];
  let row: SheetRow = { line: 0, cells: [] };
  let cell: { column: number; type: string; style: string | undefined } = {
    column: -1,
    type: '',
    style: undefined,
  };
  const valueOf = (text: string): string => {
    switch (cell.type) {
      case 's':
        return shared[Number(text)] ?? '';
      case 'b':
        return text === '1' ? 'TRUE' : 'FALSE';
      case 'n':
        return text === '' ? '' : show(cell.style, text);
      default:
        return text;
    }
  };
  const read = part(path, {
    open(name, attributes) {
      collect.open(name, attributes);
      if (name === 'row') {
        row = { line: Number(attributes['r'] ?? row.line + 1), cells: [] };
        cell.column = -1;
      } else if (name === 'c') {
        const column = attributes['r'] === undefined ? cell.column + 1 : columnOf(attributes['r']);
        cell = { column, type: attributes['t'] ?? 'n', style: attributes['s'] };
      }
    },
    text: collect.text,
    close(name) {
      collect.close(name);
      if (name === 'c') {
        const value = valueOf(collect.take());
        if (value === '' || cell.column >= mostColumns) return;
        while (row.cells.length < cell.column) row.cells.push('');
        row.cells[cell.column] = value;
      }
      if (name === 'row' && row.cells.some((value) => value.trim() !== '')) rows.push(row);
    },
  });
  for await (const _ of read) {
    if (rows.length > 0) yield rows;
    rows = [];
  }
}

/** The number of a column, from 0, by a cell's place such as AB12. */
function columnOf(place: string): number {
  let column = 0;
  for (const letter of /^[A-Z]+/.exec(place)?.[0] ?? 'A') column = column * 26 + letter.charCodeAt(0) - 64;
  return column - 1;
}
