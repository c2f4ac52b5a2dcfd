import { findNodeAtLocation, parseTree } from 'jsonc-parser';
import { isOversized, longCell, mostColumns } from './bounds.ts';
import { fields, findColumns, type Field } from './columns.ts';
import type { Member } from './json-text.ts';
import { problemAt, type Flaw, type Problem } from './problem.ts';
import type { Parts } from './source.ts';
import type { Table, TableRecord } from './table.ts';

const longestName = 1000;
/** NUL, and halves of characters: no file system and no API takes them. */
const unusable = /[\0\p{Cs}]/u;

/** An object of a manifest as it stands there, or what is wrong with it. */
export type ObjectRow = { line: number } & ({ members: Member[] } | { flaw: Problem });

/** The same with its values by column. */
type Values = { line: number } & ({ values: Map<number, string> } | { flaw: Problem });

/**
 * A table of objects. Its columns are the names of all of them in order of appearance; a name that an object lacks is an
 * empty cell.
 * @param rows some at a time
 * @param map as `--map` says: an array of pictures is one cell, and a name with dots leads to what is nested
 * @returns undefined where there is nothing in it
 */
export async function openObjects(
  rows: Parts<ObjectRow[]>,
  map: Record<string, string>,
): Promise<Table | undefined> {
  const paths = Object.values(map).filter((name) => name.includes('.'));
  const { header, problems, isEmpty } = await readNames(rows, paths);
  if (isEmpty) return undefined;
  const { of } = findColumns({ header, line: 1 }, map);
  const fieldAt = new Map(fields.map((field) => [of[field], field]));
  async function* records(): AsyncGenerator<TableRecord[]> {
    if (problems.length > 0) return;
    const columnOf = createColumns([...header]);
    for await (const objects of rows()) {
      const some: TableRecord[] = [];
      for (const object of objects) {
        const read = readValues(object, paths, columnOf);
        const record = 'flaw' in read ? { ...read, cells: [] } : toRecord(read, header, fieldAt);
        if (record.flaw || record.cells.some((cell) => cell.trim() !== '')) some.push(record);
      }
      yield some;
    }
  }
  return { header, line: 1, problems, records, placeAt: (line) => ({ line }) };
}

interface Names {
  header: string[];
  problems: Problem[];
  isEmpty: boolean;
}

/** The names that all objects have. */
async function readNames(rows: Parts<ObjectRow[]>, paths: string[]): Promise<Names> {
  const header: string[] = [];
  const columnOf = createColumns(header);
  let isEmpty = true;
  for await (const objects of rows()) {
    for (const object of objects) {
      const read = readValues(object, paths, columnOf);
      isEmpty &&= !('flaw' in read) && header.length === 0;
      if (header.length <= mostColumns) continue;
      return { header: [], problems: [problemAt({ line: object.line }, tooManyColumns)], isEmpty };
    }
  }
  return { header, problems: [], isEmpty };
}

const tooManyColumns: Flaw = {
  problem: `the objects have more than ${mostColumns} names altogether`,
  remedy: 'give all objects the same names and remove those that are not needed',
};

/** Gives each name its column, a new one at the end of the header where it is new. Unicode forms make no difference. */
function createColumns(header: string[]): (name: string) => number {
  const columns = new Map(header.map((name, at) => [name.normalize('NFC'), at]));
  return (name) => {
    const key = name.normalize('NFC');
    const column = columns.get(key) ?? header.push(name) - 1;
    columns.set(key, column);
    return column;
  };
}

function readValues(object: ObjectRow, paths: string[], columnOf: (name: string) => number): Values {
  if ('flaw' in object) return object;
  const { line, members } = object;
  const values = new Map<number, string>();
  for (const member of members) {
    const name = member.name.trim();
    const flaw = nameFlaw(name);
    if (flaw) return { line, flaw: problemAt({ line, value: name }, flaw) };
    const column = columnOf(name);
    if (values.has(column)) return { line, flaw: problemAt({ line, column: name }, namedTwice) };
    values.set(column, member.text);
  }
  for (const path of paths) {
    const text = nested(members, path);
    if (text !== undefined && !values.has(columnOf(path))) values.set(columnOf(path), text);
  }
  return { line, values };
}

/** What a name with dots leads to, as it is written: `images.0.uri`. */
function nested(members: Member[], path: string): string | undefined {
  const [first, ...rest] = path.split('.');
  const text = members.find(({ name }) => name.trim() === first)?.text;
  if (text === undefined || rest.length === 0) return undefined;
  const steps = rest.map((step) => (/^\d+$/.test(step) ? Number(step) : step));
  const tree = parseTree(text);
  const found = tree && findNodeAtLocation(tree, steps);
  return found && text.slice(found.offset, found.offset + found.length);
}

const namedTwice: Flaw = { problem: 'the object has this name twice', remedy: 'remove one of the two' };

function nameFlaw(name: string): Flaw | undefined {
  if (name === '') return { problem: 'a name is empty', remedy: 'name the value, or remove it' };
  if (unusable.test(name)) return { problem: 'a name holds NUL or half a character', remedy: 'rename it' };
  if (name.length <= longestName) return undefined;
  return { problem: `a name has more than ${longestName} characters`, remedy: 'give it a short name' };
}
/** Its cells reach as far as its last value: a wide table of short objects stays small. */
function toRecord(
  { line, values }: { line: number; values: Map<number, string> },
  header: string[],
  fieldAt: Map<number | undefined, Field>,
): TableRecord {
  const cells = Array.from({ length: Math.max(-1, ...values.keys()) + 1 }, () => '');
  const record: TableRecord = { line, cells };
  for (const [index, text] of values) {
    const found = readValue(text, fieldAt.get(index));
    const cell = typeof found === 'string' ? found : text;
    const flaw = typeof found === 'string' ? cellFlaw(cell) : found;
    if (flaw) record.flaw ??= problemAt({ line, column: header[index], value: cell }, flaw);
    cells[index] = cell;
  }
  return record;
}

function cellFlaw(cell: string): Flaw | undefined {
  if (isOversized(cell)) return longCell;
  if (!unusable.test(cell)) return undefined;
  return { problem: 'the text holds NUL or half a character', remedy: 'write it again without' };
}

/** A value's cell: text as it is, numbers as they are written, lists and objects as JSON where a field allows that. */
function readValue(text: string, field: Field | undefined): string | Flaw {
  if (text === 'null') return '';
  if (text.startsWith('"')) return String(JSON.parse(text));
  if (!/^[[{]/.test(text) || field === undefined) return text;
  return field === 'image' && text.startsWith('[') ? joinPictures(text) : notText(text, field);
}

function joinPictures(text: string): string | Flaw {
  const pictures = JSON.parse(text) as unknown[];
  if (!pictures.every((picture) => typeof picture === 'string')) {
    return { problem: 'the list holds something that is no text', remedy: 'write ["front.jpg", "side.jpg"]' };
  }
  if (pictures.some((picture) => picture.includes('|'))) {
    const remedy = 'rename the file; in an address write %7C; or write the pictures as several list items';
    return { problem: 'a picture holds |, which separates pictures', remedy };
  }
  return pictures.join('|');
}

function notText(text: string, field: Field): Flaw {
  const what = text.startsWith('[') ? 'a list' : 'an object';
  const remedy = `write it as text, or say which name holds the ${field} with --map ${field}="…"`;
  return { problem: `this is ${what}, but the ${field} is a text`, remedy };
}
