import { dirname, join, resolve } from 'node:path';
import type { Finding, Picture, Row } from '../model.ts';
import { createBlockReader } from './blocks.ts';
import { findColumns, type Columns } from './columns.ts';
import { eachPicture } from './each-picture.ts';
import { createIds, type Ids } from './ids.ts';
import { loadTable } from './load.ts';
import { checkOptions, type ManifestOptions } from './options.ts';
import type { Inspect } from './picture-files.ts';
import { createPictureReader } from './pictures.ts';
import { createTally, placeOf, type Problem } from './problem.ts';
import { cell } from './rows.ts';
import { nameOfManifest } from './source.ts';
import type { Table, TableRecord } from './table.ts';
import { unknownIds, wholeProblems } from './whole.ts';

/** A row and where it stands, for findings of others: its line, or its picture in a folder. */
export interface ReadRow {
  row: Row;
  place: Pick<Finding, 'file' | 'line'>;
}

/** What is done with a manifest while it is read. Each call is awaited before the next. */
export interface ManifestSink {
  /** Rows in the manifest's order, up to 1,000 at a time. A selected row with findings has them in `invalid`. */
  rows(rows: ReadRow[]): Promise<void>;
  /**
   * A problem: those of the whole table and those of rows, as they are found (a row's before the row is given to
   * `rows`).
   */
  finding(finding: Finding): void | Promise<void>;
  /**
   * A `data:` picture's content, which rows name as `embedded:<sha256>`; may come several times. Dropped when absent.
   */
  embedded?(sha256: string, bytes: Buffer): void | Promise<void>;
  /**
   * Is this very file (path, size, time, inode) known to be a sound picture of the row? Then it isn't opened. Asked for
   * all rows of a block before their pictures are read.
   */
  isKnown?(id: string, picture: Extract<Picture, { kind: 'file' }>): Promise<boolean>;
  /** Looks into pictures that aren't known. When absent, only their first bytes are looked at. */
  inspect?: Inspect;
}

/** What is known of a manifest that was read to its end. It is sound when there are no findings. */
export interface Manifest {
  /** Data rows. */
  rows: number;
  /** Problems given to the sink. */
  findings: number;
  /** Some finding belongs to no row, so that leaving out invalid rows doesn't mend the manifest. */
  unskippable: boolean;
  /** Remarks that stop nothing. */
  notes: Finding[];
  /** The user's own columns as they are called in the results, in order. */
  columns: string[];
  /** The table is a failed.csv of reshoot's. */
  retry: boolean;
  /** Has some row this id? */
  hasId(id: string): boolean;
}

const noRows: Problem = {
  problem: 'the table has a header, but no rows',
  remedy: 'write a line a picture below the header',
};

/** Rows handled together: enough for the disk, and few promises for a million rows. */
const together = 1000;

/**
 * Reads a manifest, a file or a folder of pictures, finds all that is wrong with it, and keeps none of its rows. First
 * come the findings of the header, last those that only the end tells.
 * @throws UsageError where it can't be read as a table at all, is changed meanwhile, or an option is wrong
 */
export async function readManifest(
  file: string,
  options: ManifestOptions,
  sink: ManifestSink,
): Promise<Manifest> {
  const defaults = checkOptions(options);
  const loaded = await loadTable(file, options);
  const { retry, expectUnchanged } = loaded;
  const columns = findColumns(loaded.table, options.map);
  const table = options.eachPicture ? eachPicture(loaded.table, columns) : loaded.table;
  const remarks = createTally();
  const ids = createIds();
  // Of a pattern the pictures' names go on from its folder.
  const named = table.folder ?? nameOfManifest(file);
  const teller = createTeller(named, sink);
  const readPictures = createPictureReader({
    root: resolve(table.folder ?? options.imageRoot ?? dirname(file)),
    isKnown: sink.isKnown?.bind(sink),
    inspect: sink.inspect?.bind(sink) ?? ((pictures) => Promise.resolve(pictures.map(() => []))),
    embedded: (sha256, bytes) => sink.embedded?.(sha256, bytes),
  });
  const reading = { columns, options, defaults, retry, remarks, table, ids, readPictures };
  const readBlock = createBlockReader(reading);
  const problems = [...table.problems];
  const givesIds = columns.of.id !== undefined;
  let [rows, areReserved, isHeaderTold]: [number, boolean, boolean] = [0, !givesIds, false];

  const tellHeader = async (): Promise<void> => {
    if (!isHeaderTold && table.header.length > 0) {
      await teller.tellWhole(wholeProblems(table, columns, options));
    }
    isHeaderTold = true;
  };
  const give = async (records: TableRecord[]): Promise<void> => {
    if (!areReserved && records.some((record) => cell(record, columns, 'id') === '')) {
      await reserveIds(table, columns, ids);
      areReserved = true;
    }
    const block = await readBlock(records);
    await teller.tellWhole(block.whole);
    await teller.tell(block.problems);
    await sink.rows(block.rows.map(({ row, record }) => ({ row, place: placeIn(named, record) })));
    rows += records.length;
  };

  await teller.tellWhole([...problems, ...columns.problems]);
  for await (const records of table.records((problem) => problems.push(problem))) {
    for (let at = 0; at < records.length; at += together) {
      await tellHeader();
      await give(records.slice(at, at + together));
    }
  }
  await teller.tellWhole(problems.slice(table.problems.length));
  // A table that breaks off before its first row lacks columns too, but the break is the cause.
  if (table.header.length > 0 && (problems.length === 0 || rows > 0)) {
    await tellHeader();
    if (options.ids) await teller.tellWhole(unknownIds(options.ids, ids, columns));
    if (rows === 0 && !retry) await teller.tellWhole([noRows]);
  }
  await expectUnchanged();
  table.close?.();
  return {
    rows,
    ...teller.told(),
    notes: [...(table.notes ?? []), ...columns.notes, ...remarks.notes()].map(teller.inFile),
    columns: columns.carried.map(({ name }) => name),
    retry,
    hasId: (id) => ids.has(id),
  };
}

/** Hands problems to the sink and counts them. */
interface Teller {
  tell(problems: Problem[]): Promise<void>;
  /** What belongs to no row. */
  tellWhole(problems: Problem[]): Promise<void>;
  told(): Pick<Manifest, 'findings' | 'unskippable'>;
  inFile(problem: Problem): Finding;
}

function createTeller(file: string, sink: ManifestSink): Teller {
  let [findings, unskippable] = [0, false];
  const inFile = ({ file: picture, ...problem }: Problem): Finding => ({
    file: picture === undefined ? file : join(file, picture),
    ...problem,
  });
  const tell = async (problems: Problem[]): Promise<void> => {
    findings += problems.length;
    for (const problem of problems) await sink.finding(inFile(problem));
  };
  return {
    tell,
    async tellWhole(problems) {
      unskippable ||= problems.length > 0;
      await tell(problems);
    },
    told: () => ({ findings, unskippable }),
    inFile,
  };
}

/** Notes all ids that the table gives. */
async function reserveIds(table: Table, columns: Columns, ids: Ids): Promise<void> {
  for await (const records of table.records(() => undefined)) {
    for (const record of records) {
      const id = cell(record, columns, 'id');
      if (id !== '') ids.reserve(id);
    }
  }
}

function placeIn(file: string, record: TableRecord): Pick<Finding, 'file' | 'line'> {
  const { file: picture, line } = placeOf(record);
  return picture === undefined ? { file, line: line ?? record.line } : { file: join(file, picture) };
}
