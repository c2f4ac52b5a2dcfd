import type { Place, Problem } from './problem.ts';

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
  /** What is wrong with the table as a whole, as far as it is known before its records. */
  problems: Problem[];
  /** Remarks that stop nothing. */
  notes?: Problem[];
  /** The folder whose pictures the records are. */
  folder?: string;
  /**
   * All records but blank ones in order, some at a time, from the first one as often as asked.
   * @param found takes what turns out to be wrong with the table as a whole
   */
  records(found: (problem: Problem) => void): AsyncIterable<TableRecord[]>;
  /** Where the record of a line stands: on that line, or in a folder at its picture. */
  placeAt(line: number): Place;
  /** Lets go of what it holds. */
  close?(): void;
}

/** A table of which nothing can be read. */
export const refusedTable = (problem: Problem): Table => ({
  header: [],
  line: 1,
  problems: [problem],
  async *records() {},
  placeAt: (line) => ({ line }),
});
