import { printable } from '../cells.ts';
import type { Ratio, Route } from '../model.ts';
import type { Columns, Field } from './columns.ts';
import { idFlaw } from './ids.ts';
import type { Defaults, ManifestOptions } from './options.ts';
import { placeOf, problemAt, type Flaw, type Problem, type Tally } from './problem.ts';
import type { TableRecord } from './table.ts';
import { fillPrompt, findSlot, type Slot } from './template.ts';
import {
  allowedRatios,
  allowedSizes,
  contradicts,
  ratioOf,
  readRatio,
  readRoute,
  readSize,
} from './values.ts';

const longestPrompt = 32_000;

/** A row but for its pictures. */
export interface Draft {
  row: number;
  record: TableRecord;
  /** Chosen by `--limit` and `--ids`. */
  selected: boolean;
  id: string;
  prompt: string;
  size: string;
  ratio: Ratio;
  route: Route;
  /** Empty where no name could be made. */
  output: string;
  /** An earlier row has the same id. */
  repeats: boolean;
  problems: Problem[];
}

/** What all rows are read with. */
export interface Reading {
  columns: Columns;
  options: ManifestOptions;
  defaults: Defaults;
  /** The table is reshoot's own failed.csv: prompts in it are finished, not templates. */
  retry: boolean;
  remarks: Tally;
}

/**
 * Makes rows of records, with their values and prompts and with what is wrong in each.
 * @returns a function of a record, its place among the rows from 1, and its id
 */
export function createDrafter(reading: Reading): (record: TableRecord, row: number, id: string) => Draft {
  const { limit = Infinity, ids } = reading.options;
  const wanted = ids && new Set(ids);
  return (record, row, id) => {
    const selected = row <= limit && (wanted?.has(id) ?? true);
    return draftRow({ record, row, id, selected }, reading);
  };
}

/** The cell of a field, trimmed; empty where the table has no such column. */
export function cell(record: TableRecord, columns: Columns, field: Field): string {
  const index = columns.of[field];
  return index === undefined ? '' : (record.cells[index] ?? '').trim();
}

/** A flaw of a field's cell, at its place. */
export function cellProblem(record: TableRecord, columns: Columns, field: Field, flaw: Flaw): Problem {
  const index = columns.of[field];
  const column = index === undefined ? undefined : columns.header[index];
  return problemAt({ ...placeOf(record), column, value: cell(record, columns, field) }, flaw);
}

type Say = (field: Field, flaw: Flaw) => void;

function draftRow(identity: Pick<Draft, 'record' | 'row' | 'id' | 'selected'>, reading: Reading): Draft {
  const { record, id } = identity;
  const { row, selected } = identity;
  const { size, ratio, route } = reading.defaults;
  // Written out, since a million copies of objects take a second more.
  const draft: Draft = {
    row,
    record,
    selected,
    id,
    prompt: '',
    size,
    ratio,
    route,
    output: '',
    repeats: false,
    problems: [],
  };
  if (record.flaw) {
    draft.problems.push(record.flaw);
    return draft;
  }
  const say: Say = (field, flaw) => draft.problems.push(cellProblem(record, reading.columns, field, flaw));
  const wrongId = idFlaw(id);
  if (wrongId) say('id', { problem: wrongId, remedy: 'give the row a short id on one line' });
  readValues(draft, reading, say);
  readPrompt(draft, reading, say);
  return draft;
}

function readValues(draft: Draft, { columns, defaults }: Reading, say: Say): void {
  const read = <T>(
    field: 'size' | 'ratio' | 'route',
    parse: (text: string) => T | undefined,
    remedy: string,
  ) => {
    const text = cell(draft.record, columns, field);
    const value = text === '' ? undefined : parse(text);
    if (text !== '' && value === undefined) {
      const otherwise = `if the column means something else, add --map ${field}=`;
      say(field, { problem: `this is no ${field} that the API knows`, remedy: `${remedy}; ${otherwise}` });
    }
    return value;
  };
  draft.size = read('size', readSize, `write ${allowedSizes}`) ?? defaults.size;
  const asText = 'format the column as text, or a spreadsheet makes times of them';
  const ratio = read('ratio', readRatio, `write one of ${allowedRatios}; ${asText}`);
  draft.ratio = ratio ?? ratioOf(draft.size) ?? defaults.ratio;
  if (ratio && contradicts(draft.size, ratio)) {
    const remedy = 'write a size that has this ratio, or no ratio: that of the size is taken then';
    say('ratio', { problem: `the size ${draft.size} does not have this ratio`, remedy });
  }
  draft.route = read('route', readRoute, 'write 1 or 2') ?? defaults.route;
}

function readPrompt(draft: Draft, reading: Reading, say: Say): void {
  const { columns, options, retry } = reading;
  const index = columns.of.prompt;
  const own = index === undefined ? '' : (draft.record.cells[index] ?? '');
  const isOwn = own.trim() !== '';
  const template = isOwn ? own : (options.prompt ?? '');
  draft.prompt = retry && isOwn ? own : fillPrompt(template, (name) => promptValue(draft, reading, name));
  const { length } = draft.prompt;
  if (length > longestPrompt) {
    const problem = `the prompt has ${length} characters, more than ${longestPrompt}`;
    say('prompt', { problem, remedy: 'shorten it' });
  }
  // Where there is neither column nor template, the table as a whole is told.
  const isExpected = index !== undefined || template.trim() !== '';
  if (isExpected && !draft.prompt.trim()) {
    say('prompt', { problem: 'the row has no prompt', remedy: 'write one, or give --prompt for such rows' });
  }
}

/** Prompts are paid for as they are sent, so gaps and leftovers are remarked upon. */
function promptValue(draft: Draft, { columns, remarks }: Reading, name: string): string | undefined {
  const remark = (problem: string, remedy: string): void => {
    if (draft.selected) remarks.add(placeOf(draft.record), { problem, remedy });
  };
  const slot = findSlot(columns.header, name);
  const value = slot && slotValue(draft, columns, slot);
  const shown = printable(`{{${name}}}`, 80);
  if (value === undefined) remark(`${shown} names no column and is sent as it stands`, 'check its spelling');
  if (value === '') remark(`${shown} is empty in the prompt`, 'fill the cell if the prompt needs it');
  return value;
}

/** A column's or field's value for a template, trimmed. */
export function slotValue(draft: Draft, columns: Columns, slot: Slot): string {
  if ('column' in slot) return (draft.record.cells[slot.column] ?? '').trim();
  if (slot.field === 'image' || slot.field === 'output') return cell(draft.record, columns, slot.field);
  return String(draft[slot.field]);
}
