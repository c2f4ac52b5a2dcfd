import { printable } from '../cells.ts';
import { UsageError } from '../errors.ts';
import { didYouMean } from './nearest.ts';
import { problemAt, type Problem } from './problem.ts';

/** What the product itself reads of a row. */
export const fields = ['id', 'image', 'prompt', 'size', 'ratio', 'route', 'output'] as const;
export type Field = (typeof fields)[number];

/** In order of preference where a table has several of them. */
export const aliases: Record<Field, string[]> = {
  id: ['id', 'sku', 'custom_id', 'external_id', 'handle', 'g:id', '编号', '货号'],
  image: ['image', 'image_url', 'image_link', 'image src', 'source', 'url', 'image_urls', '图片', '主图'],
  prompt: ['prompt', '提示词'],
  size: ['size', '尺寸'],
  ratio: ['ratio', 'aspect_ratio', '比例'],
  route: ['route', '线路'],
  output: ['output'],
};

/** Names that results.csv and results.jsonl use themselves. */
const resultFields = new Set(
  [
    'id row status output error_code error_message http_status attempts calls route account charged credits',
    'credits_unknown mime width height bytes sha256 api_ms started_at finished_at',
  ]
    .join(' ')
    .split(' '),
);

/** The columns' names and the line on which they stand. */
export interface NamedHeader {
  header: string[];
  line: number;
}

export interface Columns {
  header: string[];
  /** Index of each field's column, where the table has one. */
  of: Partial<Record<Field, number>>;
  /** The user's own columns and their names in the results. */
  carried: { index: number; name: string }[];
  problems: Problem[];
  notes: Problem[];
}

/** Names are compared without regard to case, surrounding space and Unicode form. */
export const columnKey = (name: string): string => name.trim().normalize('NFC').toLowerCase();

/** Would a column of this name be a field without `--map`, or does `--map` mention it? */
export function knownColumns(map: Record<string, string>): (name: string) => boolean {
  const keys = new Set([...Object.values(aliases).flat(), ...Object.values(map).map(columnKey)]);
  return (name) => keys.has(columnKey(name));
}

/** @throws UsageError for a `--map` of something that is no field */
export function checkMap(map: Record<string, string>): void {
  const unknown = Object.keys(map).find((field) => !fields.some((known) => known === field));
  if (unknown !== undefined) {
    throw new UsageError(`--map ${unknown}=…: "${unknown}" is none of ${fields.join(', ')}`);
  }
}

/** Which column is which: `--map` wins (an empty name means none), then the aliases. */
export function findColumns({ header, line }: NamedHeader, map: Record<string, string>): Columns {
  const columns: Columns = { header, of: {}, carried: [], problems: namedTwice({ header, line }), notes: [] };
  const mapped = new Set(Object.values(map).map((name) => indexOfColumn(header, name)));
  for (const field of fields) {
    const wanted = map[field];
    if (wanted === undefined) takeAlias(columns, field, mapped);
    else if (wanted !== '') takeMapped(columns, field, wanted);
  }
  const used = new Set(Object.values(columns.of));
  const own = header.map((name, index) => ({ name, index }));
  columns.carried = withResultNames(own.filter(({ name, index }) => name !== '' && !used.has(index)));
  return columns;
}

function namedTwice({ header, line }: NamedHeader): Problem[] {
  const names = header.map((name) => name.normalize('NFC'));
  const flaw = { problem: 'two columns have this name', remedy: 'rename or remove one of them' };
  return header
    .filter((name, at) => name !== '' && names.indexOf(names[at] ?? '') < at)
    .map((column) => problemAt({ line, column }, flaw));
}

/** The exact name, else the name in another case. */
export function indexOfColumn(header: string[], name: string): number {
  const exact = header.indexOf(name.trim());
  return exact >= 0
    ? exact
    : header.findIndex((other) => other !== '' && columnKey(other) === columnKey(name));
}

/** A column that `--map` gave to another field is free no more. */
function takeAlias(columns: Columns, field: Field, mapped: Set<number>): void {
  const keys = columns.header.map(columnKey);
  const found = aliases[field]
    .flatMap((alias) => [...keys.keys()].filter((at) => keys[at] === alias))
    .filter((at) => !mapped.has(at));
  const [first, second] = found;
  if (first === undefined) return;
  columns.of[field] = first;
  const other = second === undefined ? undefined : columns.header[second];
  if (other === undefined) return;
  const flaw = {
    problem: `read as the ${field}, though "${other}" could be that too`,
    remedy: `if it should be "${other}", add --map ${field}="${other}"`,
  };
  columns.notes.push(problemAt({ column: columns.header[first] }, flaw));
}

function takeMapped(columns: Columns, field: Field, wanted: string): void {
  const at = indexOfColumn(columns.header, wanted);
  if (at >= 0) {
    columns.of[field] = at;
    return;
  }
  const flaw = {
    problem: `--map ${field}="${wanted}": the table has no such column`,
    remedy: didYouMean(wanted, columns.header) || `its columns are: ${listed(columns.header)}`,
  };
  columns.problems.push(problemAt({ column: wanted }, flaw));
}

/** The columns' names for a message, the first twelve. */
export function listed(header: string[]): string {
  const names = header.filter((name) => name !== '').map((name) => `"${printable(name, 40)}"`);
  return names.length > 12 ? `${names.slice(0, 12).join(', ')} …` : names.join(', ');
}

function withResultNames(own: { name: string; index: number }[]): { name: string; index: number }[] {
  const names = new Set(own.map(({ name }) => name).filter((name) => !resultFields.has(name)));
  return own.map(({ name, index }) => {
    if (!resultFields.has(name)) return { index, name };
    let free = `col_${name}`;
    while (names.has(free)) free = `col_${free}`;
    names.add(free);
    return { index, name: free };
  });
}
