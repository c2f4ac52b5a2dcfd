import { columnKey } from './columns.ts';
import type { Member } from './json-text.ts';
import { didYouMean } from './nearest.ts';
import { openObjects, type ObjectRow } from './objects.ts';
import { problemAt, type Flaw, type Problem } from './problem.ts';
import { refusedTable, type Table } from './table.ts';

/** A manifest that is one document, in memory. */
export interface Document {
  rows: ObjectRow[];
  /** Values of rows that lack them. */
  defaults: Member[];
  /** The same by a name that a row gives as its `preset`. */
  presets: Map<string, Member[]>;
}

/** What may stand beside the rows. */
export const documentParts = ['rows', 'defaults', 'presets'] as const;

/**
 * A table of a document's rows, each filled up from its preset, then from the defaults.
 * @param map as `--map` says
 * @returns undefined where there is nothing in it
 */
export async function openDocument(
  document: Document | Problem,
  map: Record<string, string>,
): Promise<Table | undefined> {
  if ('problem' in document) return refusedTable(document);
  const rows = document.rows.map((row) => filled(row, document));
  return openObjects(async function* () {
    yield rows;
  }, map);
}

function filled(row: ObjectRow, { defaults, presets }: Document): ObjectRow {
  if ('flaw' in row) return row;
  const { line } = row;
  if (presets.size === 0) return { line, members: withMissing(row.members, defaults) };
  const given = row.members.find(({ name }) => columnKey(name) === 'preset');
  const name = given && textOf(given);
  const preset = name ? presets.get(name) : [];
  if (!preset) {
    const names = [...presets.keys()];
    const flaw: Flaw = {
      problem: 'there is no preset of this name',
      remedy: didYouMean(name ?? '', names) || `the presets are: ${names.join(', ')}`,
    };
    return { line, flaw: problemAt({ line, column: 'preset', value: name }, flaw) };
  }
  const own = row.members.filter((member) => member !== given);
  return { line, members: withMissing(withMissing(own, preset), defaults) };
}

/** A value that is there, be it an empty text, stays; `null` is none. */
function withMissing(members: Member[], others: Member[]): Member[] {
  const has = new Set(members.filter(({ text }) => text !== 'null').map(({ name }) => columnKey(name)));
  const missing = others.filter(({ name }) => !has.has(columnKey(name)));
  const filledUp = new Set(missing.map(({ name }) => columnKey(name)));
  return [...members.filter(({ name }) => !filledUp.has(columnKey(name))), ...missing];
}

const textOf = ({ text }: Member): string => {
  if (text === 'null') return '';
  return text.startsWith('"') ? String(JSON.parse(text)) : text;
};

/** What is wrong with a part that stands beside the rows; undefined where it is one. */
export function partFlaw(name: string): Flaw | undefined {
  if (documentParts.some((part) => part === name)) return undefined;
  const known = documentParts.map((part) => `"${part}"`).join(', ');
  return {
    problem: 'nothing of this name may stand beside the rows',
    remedy: didYouMean(name, [...documentParts]) || `a document has ${known}`,
  };
}

export const noRowsPart: Flaw = {
  problem: 'the document holds no list of rows',
  remedy: 'make it a list of objects, or an object with such a list called "rows"',
};
