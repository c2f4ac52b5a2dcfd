import { printable } from '../cells.ts';
import type { Columns } from './columns.ts';
import type { Ids } from './ids.ts';
import { createNameMaker, createNameRegister, nameFlaw, nameSlots } from './names.ts';
import { placeName, placeOf, problemAt, type Place, type Problem } from './problem.ts';
import { cell, cellProblem, slotValue, type Draft } from './rows.ts';
import { findSlot, type Slot } from './template.ts';

/** What rows are named with, one after the other. */
export interface Naming {
  columns: Columns;
  template: string;
  ids: Ids;
  /** Where the row stands that begins on a line. */
  placeAt(line: number): Place;
}

/**
 * Sees to it that no two rows share an id or a file.
 * @returns a function that gives a row its output name; rows come in the manifest's order
 */
export function createRowNamer({ columns, template, ids, placeAt }: Naming): (draft: Draft) => void {
  const meets = createNameRegister();
  const maker = createNameMaker(template);
  const slots = new Map(nameSlots(template).map((slot) => [slot, findNameSlot(columns, slot)]));
  const canMake = [...slots.values()].every((slot) => slot !== undefined);
  return (draft) => {
    const { line } = draft.record;
    if (draft.record.flaw) return;
    const earlier = ids.meet(draft.id, line);
    draft.repeats = earlier !== undefined;
    if (earlier !== undefined) draft.problems.push(sameId(draft, columns, placeAt(earlier)));
    const given = cell(draft.record, columns, 'output');
    // One mistake, one finding: rows with one id make one name, and a template with an unknown column none.
    if (!given && (earlier !== undefined || !canMake)) return;
    const valueOf = (name: string): string => {
      const slot = slots.get(name);
      return slot ? slotValue(draft, columns, slot) : '';
    };
    const name = given || maker.make(valueOf);
    const flaw = nameFlaw(name);
    const empty = flaw === undefined || given ? undefined : maker.emptyPart(valueOf);
    const met = flaw === undefined ? meets(name, line) : undefined;
    const problem = met === undefined ? ((empty && emptyFlaw(empty, name)) ?? flaw) : sameFile(placeAt(met));
    if (problem === undefined) draft.output = name;
    else draft.problems.push(nameProblem(draft, columns, { name, isGiven: given !== '', problem }));
  };
}

/** `{id}` and `{row}` are always the row's own, whatever columns the table has. */
const findNameSlot = (columns: Columns, name: string): Slot | undefined =>
  findSlot(columns.header, name, ['id', 'row']);

/** The later of two rows with one id is the wrong one. */
function sameId(draft: Draft, columns: Columns, earlier: Place): Problem {
  const flaw = {
    problem: `${placeName(earlier)} has the same id`,
    remedy: 'give each row an id of its own, or choose another column with --map id=',
  };
  return cellProblem(draft.record, columns, 'id', flaw);
}

/** Said of the cells, since who only sees the name must guess what is missing in it. */
function emptyFlaw(columns: string, name: string): string {
  const are = columns.includes('} and {') ? 'are' : 'is';
  const so = name.startsWith('/') ? 'the name begins with "/"' : 'a part of the name is empty';
  return `${printable(columns, 80)} ${are} empty in this row, so that ${so}`;
}

const sameFile = (place: Place): string =>
  `${placeName(place)} writes the same file, or one that is in the way (case and Unicode form make no difference)`;

interface WrongName {
  name: string;
  /** In the column `output`, not made by the template. */
  isGiven: boolean;
  problem: string;
}

function nameProblem(draft: Draft, columns: Columns, { name, isGiven, problem }: WrongName): Problem {
  if (isGiven) {
    const remedy = 'write a name of its own below the output folder, such as shoes/red-01.jpg';
    return cellProblem(draft.record, columns, 'output', { problem, remedy });
  }
  const remedy = 'change the cells that the output name is made of, or --name';
  return problemAt({ ...placeOf(draft.record), value: name }, { problem, remedy });
}
