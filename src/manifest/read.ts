import { dirname, join, resolve } from 'node:path';
import type { Finding, Picture, Row } from '../model.ts';
import { findColumns, type Columns } from './columns.ts';
import { createIds, type Ids } from './ids.ts';
import { loadTable } from './load.ts';
import { mostCandidates } from './nearest.ts';
import { checkOptions, type ManifestOptions } from './options.ts';
import { createPictureReader } from './pictures.ts';
import { createTally, placeOf, type Flaw, type Problem } from './problem.ts';
import { createRowNamer } from './row-names.ts';
import { cell, cellProblem, createDrafter, type Draft } from './rows.ts';
import type { Table, TableRecord } from './table.ts';
import { createNamelessCheck, unknownIds, wholeProblems } from './whole.ts';

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

const onlyFirst: Flaw = {
  problem: 'the row has more than one picture, of which the API uses only the first',
  remedy: 'put the picture to be edited first',
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
  const { table, retry, expectUnchanged } = await loadTable(file, options);
  const columns = findColumns(table, options.map);
  const remarks = createTally();
  const ids = createIds();
  const some: string[] = [];
  const draft = createDrafter({ columns, options, defaults, retry, remarks });
  const placeAt = (line: number) => table.placeAt(line);
  const nameRow = createRowNamer({ columns, template: options.name, ids, placeAt });
  const nameless = createNamelessCheck(table);
  const readPictures = createPictureReader({
    root: resolve(table.folder ?? options.imageRoot ?? dirname(file)),
    isKnown: sink.isKnown && ((id, picture) => sink.isKnown?.(id, picture) ?? Promise.resolve(false)),
    embedded: (sha256, bytes) => sink.embedded?.(sha256, bytes),
  });
  const inFile = ({ file: picture, ...problem }: Problem): Finding => ({
    file: picture === undefined ? file : join(file, picture),
    ...problem,
  });
  const manifest = { rows: 0, findings: 0, unskippable: false };
  const tell = async (problems: Problem[]): Promise<void> => {
    manifest.findings += problems.length;
    for (const problem of problems) await sink.finding(inFile(problem));
  };
  const tellWhole = (problems: Problem[]): Promise<void> => {
    manifest.unskippable ||= problems.length > 0;
    return tell(problems);
  };

  const addPictures = async (drafts: Draft[]): Promise<Picture[][]> => {
    const sound = drafts.filter(({ record }) => !record.flaw && columns.of.image !== undefined);
    const cells = sound.map(({ id, record }) => ({ id, cell: cell(record, columns, 'image') }));
    const read = await readPictures(cells);
    const picturesOf = new Map(sound.map((draft, at) => [draft, read[at]]));
    return drafts.map((draft) => {
      const { pictures = [], flaws = [] } = picturesOf.get(draft) ?? {};
      draft.problems.push(...flaws.map((flaw) => cellProblem(draft.record, columns, 'image', flaw)));
      if (draft.selected && pictures.length > 1) remarks.add({ line: draft.record.line }, onlyFirst);
      return pictures;
    });
  };

  const readBlock = async (records: TableRecord[]): Promise<void> => {
    const drafts = records.map((record) => {
      const row = ++manifest.rows;
      const source = { given: cell(record, columns, 'id'), image: cell(record, columns, 'image') };
      const id = ids.take(source, row);
      if (options.ids && some.length < mostCandidates) some.push(id);
      const drafted = draft(record, row, id);
      nameRow(drafted);
      return drafted;
    });
    const pictures = await addPictures(drafts);
    await tellWhole(records.flatMap(nameless));
    await tell(drafts.flatMap(({ selected, problems }) => (selected ? problems : [])));
    await sink.rows(
      drafts.map((drafted, at) => ({
        row: toRow(drafted, columns, pictures[at] ?? []),
        place: placeIn(file, drafted.record),
      })),
    );
  };

  let isReserved = columns.of.id === undefined;
  const atEnd: Problem[] = [];
  await tellWhole([...table.problems, ...columns.problems]);
  let isTold = false;
  const tellHeader = async (): Promise<void> => {
    if (!isTold && table.header.length > 0) await tellWhole(wholeProblems(table, columns, options));
    isTold = true;
  };
  for await (const records of table.records((problem) => atEnd.push(problem))) {
    for (let at = 0; at < records.length; at += together) {
      const block = records.slice(at, at + together);
      await tellHeader();
      if (!isReserved && block.some((record) => cell(record, columns, 'id') === '')) {
        await reserveIds(table, columns, ids);
        isReserved = true;
      }
      await readBlock(block);
    }
  }
  await tellWhole(atEnd);
  if (table.problems.length + atEnd.length === 0 || manifest.rows > 0) await tellHeader();
  if (isTold && table.header.length > 0) {
    await tellWhole(unknownIds(options.ids ?? [], ids, some, columns));
    if (manifest.rows === 0 && !retry) await tellWhole([noRows]);
  }
  await expectUnchanged();
  return {
    ...manifest,
    notes: [...(table.notes ?? []), ...columns.notes, ...remarks.notes()].map(inFile),
    columns: columns.carried.map(({ name }) => name),
    retry,
    hasId: (id) => ids.has(id),
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

/** Rows that aren't selected need not be sound, so nothing is said about them. */
function toRow(draft: Draft, columns: Columns, pictures: Picture[]): Row {
  const { record, problems, row, id, prompt, size, ratio, route, output, selected } = draft;
  const cells = columns.carried.map(({ index, name }) => [name, record.cells[index] ?? ''] as const);
  // Object.fromEntries keeps a column that is called __proto__.
  const carried = Object.fromEntries(cells);
  const { line } = record;
  const read: Row = {
    row,
    line,
    id,
    pictures,
    prompt,
    size,
    ratio,
    route,
    output,
    columns: carried,
    selected,
  };
  if (selected && problems.length > 0) read.invalid = problems.map(inOneText).join('; ');
  return read;
}

const inOneText = ({ column, problem }: Problem): string => (column ? `${column}: ${problem}` : problem);
