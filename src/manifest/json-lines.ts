import { isOversized, longCell, mostColumns, mostRecord } from './bounds.ts';
import { fields, findColumns, type Field } from './columns.ts';
import { JsonFault, readObject } from './json-text.ts';
import { readLines } from './lines.ts';
import { problemAt, type Flaw, type Problem } from './problem.ts';
import type { Table, TableRecord } from './table.ts';
import type { Text } from './text.ts';

const longestName = 1000;
/** NUL, and halves of characters: no file system and no API takes them. */
const unusable = /[\0\p{Cs}]/u;

/** A line that holds something: its values by column, or what is wrong with it. */
type Line = { line: number } & ({ values: Map<number, string> } | { flaw: Problem });

/**
 * A table of JSON objects, one a line. Its columns are the names of all of them in order of appearance; a name that an
 * object lacks is an empty cell.
 * @param map as `--map` says, since an array of pictures is one cell
 * @returns undefined where there is nothing in it
 */
export async function openJsonLines(text: Text, map: Record<string, string>): Promise<Table | undefined> {
  const { header, problems, isEmpty } = await readNames(text);
  if (isEmpty) return undefined;
  const { of } = findColumns({ header, line: 1 }, map);
  const fieldAt = new Map(fields.map((field) => [of[field], field]));
  async function* records(): AsyncGenerator<TableRecord[]> {
    if (problems.length > 0) return;
    const columnOf = createColumns([...header]);
    for await (const texts of readLines(text.parts)) {
      const some: TableRecord[] = [];
      for (const { line, text } of texts) {
        const read = readLine(text, line, columnOf);
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

/** The names that objects of the whole text have. */
async function readNames({ parts }: Text): Promise<Names> {
  const header: string[] = [];
  const columnOf = createColumns(header);
  let [isFirst, isEmpty] = [true, true];
  for await (const texts of readLines(parts)) {
    for (const { line, text } of texts) {
      const flaw = isFirst && /^\s*(\[|\{\s*$)/.test(text) ? oneDocument : undefined;
      isFirst = false;
      const read = flaw ? { flaw } : readLine(text, line, columnOf);
      isEmpty &&= !('flaw' in read) && header.length === 0;
      const whole = header.length > mostColumns ? tooManyColumns : flaw;
      if (whole) return { header: [], problems: [problemAt({ line }, whole)], isEmpty };
    }
  }
  return { header, problems: [], isEmpty };
}

const oneDocument: Flaw = {
  problem: 'this is one JSON document, not an object a line',
  remedy: 'write each row as an object on a line of its own; jq -c ".[]" makes such lines of an array',
};

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

function readLine(text: string, line: number, columnOf: (name: string) => number): Line {
  if (text.length > mostRecord) return { line, flaw: problemAt({ line }, longLine) };
  try {
    const values = new Map<number, string>();
    for (const member of readObject(text)) {
      const name = member.name.trim();
      const flaw = nameFlaw(name);
      if (flaw) return { line, flaw: problemAt({ line, value: name }, flaw) };
      const column = columnOf(name);
      if (values.has(column)) return { line, flaw: problemAt({ line, column: name }, namedTwice) };
      values.set(column, member.text);
    }
    return { line, values };
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error;
    const problem = `the line is no JSON object: ${error.message} at character ${error.at + 1}`;
    return {
      line,
      flaw: problemAt({ line, value: text.slice(error.at, error.at + 40) }, { problem, remedy }),
    };
  }
}

const longLine: Flaw = {
  problem: 'the line has more than 50 MB',
  remedy: 'end it where the row ends, or save its pictures as files and write their paths',
};

const remedy = 'write one whole object on the line, such as {"id": "A1", "image": "a1.jpg", "prompt": "…"}';

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
