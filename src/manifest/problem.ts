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
    ...(value ? { value: printable(value, 80) } : {}),
    problem: flaw.problem,
    remedy: flaw.remedy,
  };
}

/** Where a record stands: on its line, or in a folder at its picture. */
export const placeOf = ({ line, file }: { line: number; file?: string }): Place =>
  file === undefined ? { line } : { file };

/** A place as another row's message names it. */
export const placeName = ({ file, line }: Place): string =>
  file === undefined ? `line ${line}` : `"${printable(file, 80)}"`;

/** Remarks that would repeat themselves row after row: the first place is told, the others are counted. */
export interface Tally {
  add(place: Place, flaw: Flaw): void;
  notes(): Problem[];
}

/** Remarks are the same when they have the same text. */
export function createTally(): Tally {
  const entries = new Map<string, { place: Place; flaw: Flaw; rows: number }>();
  return {
    add(place, flaw) {
      const entry = entries.get(flaw.problem);
      if (entry) entry.rows++;
      else entries.set(flaw.problem, { place, flaw, rows: 1 });
    },
    notes: () =>
      [...entries.values()].map(({ place, flaw, rows }) =>
        problemAt(place, { ...flaw, problem: rows > 1 ? `${flaw.problem} (${rows} rows)` : flaw.problem }),
      ),
  };
}
