import type { Picture, Row } from '../model.ts';
import type { Columns } from './columns.ts';
import type { Ids } from './ids.ts';
import type { PictureCell, PicturesOfCell } from './pictures.ts';
import { placeOf, type Flaw, type Problem } from './problem.ts';
import { createRowNamer } from './row-names.ts';
import { cell, cellProblem, createDrafter, type Draft, type Reading } from './rows.ts';
import type { Table, TableRecord } from './table.ts';
import { createNamelessCheck } from './whole.ts';

/** Some rows, and what is wrong. */
export interface Block {
  rows: { row: Row; record: TableRecord }[];
  /** In rows that are selected. */
  problems: Problem[];
  /** In the table as a whole. */
  whole: Problem[];
}

/** What blocks of rows are read with. */
export interface BlockReading extends Reading {
  table: Table;
  ids: Ids;
  readPictures(cells: PictureCell[]): Promise<PicturesOfCell[]>;
}

/** @returns a function that makes rows of records, which come in the table's order, and looks at their pictures */
export function createBlockReader(reading: BlockReading): (records: TableRecord[]) => Promise<Block> {
  const { table, columns, options, ids } = reading;
  const draft = createDrafter(reading);
  const placeAt = (line: number) => table.placeAt(line);
  const nameRow = createRowNamer({ columns, template: options.name, ids, placeAt });
  const checkNameless = createNamelessCheck(table);
  let count = 0;
  const draftNext = (record: TableRecord): Draft => {
    const row = ++count;
    const source = { given: cell(record, columns, 'id'), image: cell(record, columns, 'image') };
    const drafted = draft(record, row, ids.take(source, row));
    nameRow(drafted);
    return drafted;
  };
  return async (records) => {
    const drafts = records.map(draftNext);
    const pictures = await readPicturesOf(drafts, reading);
    return {
      rows: drafts.map((drafted, at) => {
        return { row: toRow(drafted, columns, pictures[at] ?? []), record: drafted.record };
      }),
      problems: drafts.flatMap(({ selected, problems }) => (selected ? problems : [])),
      whole: records.flatMap(checkNameless),
    };
  };
}

const onlyFirst: Flaw = {
  problem: 'the row has more than one picture, of which the API uses only the first',
  remedy: 'put the picture to be edited first',
};

const strictly = 'with --inputs strict such pictures are refused instead';

/** The pictures of each row; what is wrong with them comes to the row's problems. */
async function readPicturesOf(
  drafts: Draft[],
  { columns, readPictures, remarks }: BlockReading,
): Promise<Picture[][]> {
  const isRead = ({ record }: Draft): boolean => !record.flaw && columns.of.image !== undefined;
  const sound = drafts.filter(isRead);
  const read = await readPictures(
    sound.map(({ id, record }) => ({ id, cell: cell(record, columns, 'image') })),
  );
  for (const [at, { record, problems, selected }] of sound.entries()) {
    const { pictures = [], changes = [], flaws = [] } = read[at] ?? {};
    problems.push(...flaws.map((flaw) => cellProblem(record, columns, 'image', flaw)));
    if (!selected) continue;
    if (pictures.length > 1) remarks.add(placeOf(record), onlyFirst);
    for (const change of changes)
      remarks.add(placeOf(record), { problem: `the picture ${change}`, remedy: strictly });
  }
  const rest = read.values();
  return drafts.map((draft) => (isRead(draft) ? (rest.next().value?.pictures ?? []) : []));
}

/** Rows that aren't selected need not be sound: nothing is said about them before somebody wants them done. */
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
  if (problems.length > 0) read[selected ? 'invalid' : 'flaw'] = problems.map(inOneText).join('; ');
  if (draft.repeats) read.repeats = true;
  return read;
}

const inOneText = ({ column, problem }: Problem): string => (column ? `${column}: ${problem}` : problem);
