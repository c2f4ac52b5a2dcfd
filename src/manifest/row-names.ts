import { printable } from '../cells.ts';
import type { Columns } from './columns.ts';
import { createNameRegister, emptyPart, makeName, nameFlaw, nameSlots } from './names.ts';
import { placeName, placeOf, problemAt, type Place, type Problem } from './problem.ts';
import { cell, cellProblem, slotValue, type Draft } from './rows.ts';
import { findSlot } from './template.ts';

/** Gives every row its output name, and sees to it that no two rows share an id or a file. */
export function nameRows(drafts: Draft[], columns: Columns, template: string): void {
  const sound = drafts.filter(({ record }) => !record.flaw);
  const repeated = findRepeatedIds(sound, columns);
  const meets = createNameRegister<Place>();
  const canMake = nameSlots(template).every((slot) => findSlot(columns.header, slot));
  for (const draft of sound) {
    const given = cell(draft.record, columns, 'output');
    // One mistake, one finding: rows with one id make one name, and a template with an unknown column none.
    if (!given && (repeated.has(draft) || !canMake)) continue;
    const valueOf = (slot: string): string => nameValue(draft, columns, slot);
    const name = given || makeName(template, valueOf);
    const empty = given ? undefined : emptyPart(template, valueOf);
    const flaw = empty === undefined ? nameFlaw(name) : emptyFlaw(empty, name);
    const problem = flaw ?? sameFile(meets(name, placeOf(draft.record)));
    if (problem === undefined) draft.output = name;
    else draft.problems.push(nameProblem(draft, columns, { name, isGiven: given !== '', problem }));
  }
}

/** The later of two rows with one id is the wrong one. */
function findRepeatedIds(drafts: Draft[], columns: Columns): Set<Draft> {
  const places = new Map<string, Place>();
  const repeated = new Set<Draft>();
  for (const draft of drafts) {
    const place = places.get(draft.id);
    if (place === undefined) {
      places.set(draft.id, placeOf(draft.record));
      continue;
    }
    repeated.add(draft);
    const flaw = {
      problem: `${placeName(place)} has the same id`,
      remedy: 'give each row an id of its own, or choose another column with --map id=',
    };
    draft.problems.push(cellProblem(draft.record, columns, 'id', flaw));
  }
  return repeated;
}

/** `{id}` and `{row}` are always the row's own, whatever columns the table has. */
function nameValue(draft: Draft, columns: Columns, name: string): string {
  const slot = findSlot(columns.header, name, ['id', 'row']);
  return slot ? slotValue(draft, columns, slot) : '';
}

/** Said of the cells, since who only sees the name must guess what is missing in it. */
function emptyFlaw(columns: string, name: string): string {
  const are = columns.includes('} and {') ? 'are' : 'is';
  const so = name.startsWith('/') ? 'the name begins with "/"' : 'a part of the name is empty';
  return `${printable(columns, 80)} ${are} empty in this row, so that ${so}`;
}

const sameFile = (place: Place | undefined): string | undefined =>
  place === undefined
    ? undefined
    : `${placeName(place)} writes the same file, or one that is in the way (case and Unicode form make no difference)`;

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
