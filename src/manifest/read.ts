import { dirname, join, resolve } from 'node:path';
import type { Finding, Picture, Row } from '../model.ts';
import { findColumns, type Columns } from './columns.ts';
import { loadTable } from './load.ts';
import { checkOptions, type ManifestOptions } from './options.ts';
import { createPictureReader } from './pictures.ts';
import { createTally, type Flaw, type Problem } from './problem.ts';
import { nameRows } from './row-names.ts';
import { cell, cellProblem, draftRows, type Draft } from './rows.ts';
import type { TableRecord } from './table.ts';
import { unknownIds, wholeProblems } from './whole.ts';

/** A manifest, read and checked whole. Sound when `findings` is empty. */
export interface Manifest {
  /** All data rows in order; a selected row with findings has them in `invalid`. */
  rows: Row[];
  findings: Finding[];
  /** Some finding belongs to no row, so that leaving out invalid rows doesn't mend the manifest. */
  unskippable: boolean;
  /** Remarks that stop nothing. */
  notes: Finding[];
  /** Where a row stands, for findings of others: its line, or its picture in a folder. */
  placeOf(row: Row): Pick<Finding, 'file' | 'line'>;
  /** The user's own columns as they are called in the results, in order. */
  columns: string[];
  /** The table is a failed.csv of reshoot's. */
  retry: boolean;
  /** Contents of `data:` pictures by SHA-256, which rows name as `embedded:<sha256>`. */
  embedded: Map<string, Buffer>;
}

const noRows: Problem = {
  problem: 'the table has a header, but no rows',
  remedy: 'write a line a picture below the header',
};

/**
 * Reads a manifest, a file or a folder of pictures, and finds all that is wrong with it.
 * @throws UsageError where it can't be read as a table at all, or an option is wrong
 */
export async function readManifest(file: string, options: ManifestOptions): Promise<Manifest> {
  const defaults = checkOptions(options);
  const { table, retry } = await loadTable(file, options);
  const columns = findColumns(table, options.map);
  const remarks = createTally();
  const drafts = draftRows(table.records, { columns, options, defaults, retry, remarks });
  nameRows(drafts, columns, options.name);
  const whole = [...table.problems, ...columns.problems];
  // A table that breaks off before its first row lacks columns too, but the break is the cause.
  if (table.header.length > 0 && (table.problems.length === 0 || drafts.length > 0)) {
    whole.push(...wholeProblems(table, columns, options), ...unknownIds(options.ids ?? [], drafts, columns));
    if (drafts.length === 0 && !retry) whole.push(noRows);
  }
  const root = table.folder ?? options.imageRoot ?? dirname(file);
  const { rows, embedded } = await addPictures(drafts, columns, resolve(root));
  for (const { line, selected, pictures } of rows) {
    if (selected && pictures.length > 1) remarks.add({ line }, onlyFirst);
  }
  const inFile = ({ file: picture, ...problem }: Problem): Finding => ({
    file: picture === undefined ? file : join(file, picture),
    ...problem,
  });
  return {
    rows,
    findings: [...whole, ...drafts.flatMap((draft) => (draft.selected ? draft.problems : []))].map(inFile),
    unskippable: whole.length > 0,
    notes: [...(table.notes ?? []), ...columns.notes, ...remarks.notes()].map(inFile),
    placeOf: ({ row }) => placeIn(file, table.records[row - 1]),
    columns: columns.carried.map(({ name }) => name),
    retry,
    embedded,
  };
}

function placeIn(file: string, record: TableRecord | undefined): Pick<Finding, 'file' | 'line'> {
  if (record?.file !== undefined) return { file: join(file, record.file) };
  return { file, ...(record && { line: record.line }) };
}

const onlyFirst: Flaw = {
  problem: 'the row has more than one picture, of which the API uses only the first',
  remedy: 'put the picture to be edited first',
};

interface RowsWithPictures {
  rows: Row[];
  embedded: Map<string, Buffer>;
}

/** Rows looked at together: enough for the disk, and few promises for a million rows. */
const together = 1000;

/** Looks at the pictures of all drafts and makes rows of them. */
async function addPictures(drafts: Draft[], columns: Columns, root: string): Promise<RowsWithPictures> {
  const reader = createPictureReader(root);
  const add = async (draft: Draft): Promise<Row> => {
    if (draft.record.flaw || columns.of.image === undefined) return toRow(draft, columns, []);
    const { pictures, flaws } = await reader.read(cell(draft.record, columns, 'image'));
    draft.problems.push(...flaws.map((flaw) => cellProblem(draft.record, columns, 'image', flaw)));
    return toRow(draft, columns, pictures);
  };
  const rows: Row[] = [];
  for (let at = 0; at < drafts.length; at += together) {
    rows.push(...(await Promise.all(drafts.slice(at, at + together).map(add))));
  }
  return { rows, embedded: reader.embedded };
}

/** Rows that aren't selected need not be sound, so nothing is said about them. */
function toRow(draft: Draft, columns: Columns, pictures: Picture[]): Row {
  const { record, problems, ...values } = draft;
  const cells = columns.carried.map(({ index, name }) => [name, record.cells[index] ?? ''] as const);
  return {
    ...values,
    line: record.line,
    pictures,
    // Object.fromEntries keeps a column that is called __proto__.
    columns: Object.fromEntries(cells),
    ...(values.selected && problems.length > 0 ? { invalid: problems.map(inOneText).join('; ') } : {}),
  };
}

const inOneText = ({ column, problem }: Problem): string => (column ? `${column}: ${problem}` : problem);
