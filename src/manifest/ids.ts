import { KeyTable } from '../key-table.ts';
import { mostCandidates } from './nearest.ts';

/** A row's id as far as the table tells it. */
export interface IdSource {
  /** The id's cell, trimmed; empty where there is none. */
  given: string;
  /** The picture's cell. */
  image: string;
}

const longestMade = 200;
const longestGiven = 300;

/** The ids of a manifest's rows. */
export interface Ids {
  /** A row further down gives this id: made ones avoid it. */
  reserve(id: string): void;
  /** The row's id: the given one, else its picture's name, made unique with -2, -3 … */
  take(source: IdSource, row: number): string;
  /** Notes a sound row with its line; the line of an earlier one with the same id, if any. */
  meet(id: string, line: number): number | undefined;
  /** Has some row this id? */
  has(id: string): boolean;
  /** As many of the first as hints are made of. */
  first(): string[];
}

export function createIds(): Ids {
  /** The line of the first sound row of each id, 0 as long as there is none. */
  const lines = new KeyTable();
  /** The last number that was added to a name. */
  const counts = new KeyTable();
  const first: string[] = [];
  const reserve = (id: string): void => {
    if (!lines.has(id)) lines.set(id, 0);
  };
  const make = (base: string): string => {
    if (!lines.has(base)) return base;
    let count = counts.get(base) ?? 1;
    let id: string;
    do id = `${base}-${++count}`;
    while (lines.has(id));
    counts.set(base, count);
    return id;
  };
  return {
    reserve,
    take({ given, image }, row) {
      const id = given === '' ? make(pictureName(image) || `row-${row}`) : given;
      reserve(id);
      if (first.length < mostCandidates && id.length <= longestGiven) first.push(id);
      return id;
    },
    meet(id, line) {
      const earlier = lines.get(id);
      if (!earlier) lines.set(id, line);
      return earlier || undefined;
    },
    has: (id) => lines.has(id),
    first: () => first,
  };
}

/** The first picture's file name without its extension; empty for pictures without a name. */
function pictureName(cell: string): string {
  const first = cell.split('|', 1)[0]?.trim() ?? '';
  if (/^data:/i.test(first)) return '';
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(first) && URL.canParse(first);
  const path = isUrl ? decoded(new URL(first).pathname) : first;
  const name = path.split(/[/\\]/).findLast((part) => part !== '') ?? '';
  const stem = name.replace(/(?<=.)\.[^.]*$/, '').replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '_');
  return Array.from(stem.trim()).slice(0, longestMade).join('');
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Why a given id can't be used; undefined where it can. */
export function idFlaw(id: string): string | undefined {
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(id)) return 'the id holds a line break or a control character';
  return id.length > longestGiven
    ? `the id has ${id.length} characters, more than ${longestGiven}`
    : undefined;
}
