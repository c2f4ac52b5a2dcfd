import { printable } from '../cells.ts';
import type { Finding } from '../model.ts';

/** What is wrong with something and what to do about it, before it is known where it stands. */
export interface Flaw {
  problem: string;
  remedy: string;
  /** What stands there, where that is less than the whole cell. */
  value?: string;
}

/**
 * A finding without the manifest's name, which only the reader of the whole manifest adds; `file` is a picture's path in
 * a folder that is the manifest.
 */
export type Problem = Omit<Finding, 'file'> & Partial<Pick<Finding, 'file'>>;

/** Where a flaw stands; empty parts are left out of the finding. */
export interface Place {
  file?: string | undefined;
  line?: number | undefined;
  column?: string | undefined;
  value?: string | undefined;
}

/** A flaw at its place, with its value made short and safe to print. */
export function problemAt(place: Place, flaw: Flaw): Problem {
  const value = flaw.value ?? place.value;
  return {
    ...(place.file === undefined ? {} : { file: place.file }),
    ...(place.line === undefined ? {} : { line: place.line }),
    ...(place.column === undefined ? {} : { column: printable(place.column, 80) }),
    ...(value ? { value: detached(printable(value, 80)) } : {}),
    problem: detached(flaw.problem),
    remedy: flaw.remedy,
  };
}

/** A copy: a piece cut out of a text would keep the whole text in memory, a cell of a megabyte for a finding. */
const detached = (text: string): string => JSON.parse(JSON.stringify(text)) as string;

/** Where a record stands: on its line, or in a folder at its picture. */
export const placeOf = ({ line, file }: { line: number; file?: string }): Place =>
  file === undefined ? { line } : { file };

/** A place as another row's message names it. */
export const placeName = ({ file, line }: Place): string =>
  file === undefined ? `line ${line}` : `"${printable(file, 80)}"`;

const mostRemarks = 1000;

/** Remarks that would repeat themselves row after row: the first place is told, the others are counted. */
export interface Tally {
  add(place: Place, flaw: Flaw): void;
  notes(): Problem[];
}

/** Remarks are the same when they have the same text; of different ones the first thousand are kept. */
export function createTally(): Tally {
  const entries = new Map<string, { place: Place; remedy: string; rows: number }>();
  return {
    add(place, flaw) {
      const { problem, remedy } = entries.size < mostRemarks || entries.has(flaw.problem) ? flaw : others;
      const entry = entries.get(problem);
      if (entry) entry.rows++;
      else entries.set(detached(problem), { place, remedy, rows: 1 });
    },
    notes: () =>
      [...entries].map(([problem, { place, remedy, rows }]) =>
        problemAt(place, { problem: rows > 1 ? `${problem} (${rows} rows)` : problem, remedy }),
      ),
  };
}

const others: Flaw = { problem: 'there are more remarks of other kinds', remedy: 'begin with those above' };
