import { printable } from '../cells.ts';
import { UsageError } from '../errors.ts';
import { findSlot, fillPrompt, promptSlots } from '../manifest/template.ts';
import type { Finding, Route, Row, RowStatus } from '../model.ts';
import { isDone, type ReportRow } from '../report/rows.ts';
import { createDraft } from './draft.ts';
import { judgedRows } from './finish.ts';
import { createForeignCheck } from './foreign.ts';
import { spooledCalls } from './keep.ts';
import { pictureRulesOf, type PictureRules } from './input.ts';
import type { Output } from './output.ts';
import type { Checked } from './plan.ts';
import { lookAtNames } from './standing.ts';

/** Which rows of an output are done again: those that all that is given fits. */
export interface Choice {
  /** Not given, nor codes nor ids: `failed` and `held`. */
  statuses: RowStatus[] | undefined;
  codes: string[] | undefined;
  ids: string[] | undefined;
  /** What the rows are sent with instead; a template. */
  prompt: string | undefined;
  route: Route | undefined;
}

/** The latest manifest of an output, of which some rows are to be done again. */
export interface Again {
  checked: Checked;
  /** The manifest, as its user named it. */
  file: string;
  due: number;
  /** Some row has a picture, and is to get another. */
  force: boolean;
  /** As the latest run has it. */
  pictures: PictureRules;
  /** What stands in the way. */
  findings: Finding[];
}

/**
 * Picks the rows of the latest run into an output that are to be done again; the others stand in the report as they are.
 * @param asked the choice as a text: a `retry` that was cut off goes on when it is the same
 * @returns undefined: there is no run in this output
 * @throws UsageError where the choice names what the output doesn't have
 */
export async function draftAgain(output: Output, choice: Choice, asked: string): Promise<Again | undefined> {
  const { runs, calls, storage } = output;
  const latest = (await runs.list()).at(-1);
  if (latest === undefined) return undefined;
  const run = await runs.read(latest);
  const { manifest: file, columns, again, force: forced } = run;
  const end = await runs.end(latest);
  const goesOn = !end && again === asked;
  const stories = await calls.stories();
  const present = { standing: lookAtNames(storage), storage, spooled: await spooledCalls(storage) };
  const foreign = createForeignCheck(storage, stories, present);
  const isMeant = chooser(choice);
  const reword = rewording(choice.prompt, columns);
  const unseen = new Set(choice.ids);
  const draft = createDraft();
  const found: Again = {
    checked: { manifest: { columns, retry: false, notes: [] }, draft },
    file,
    due: 0,
    force: goesOn && forced,
    pictures: pictureRulesOf(run),
    findings: [],
  };
  for await (const { row: judged } of (await judgedRows(output, latest, end?.stop, stories))()) {
    const { row } = judged;
    unseen.delete(row.id);
    const selected = row.invalid === undefined && (goesOn ? row.selected : isMeant(judged));
    if (selected) found.due += 1;
    if (goesOn || !selected) {
      draft.add({ ...row, selected });
      continue;
    }
    const place = { file, line: row.line };
    // Plans of versions before don't tell what is wrong.
    const flaw = row.flaw ?? (row.output === '' ? 'the row has no name of its own for its picture' : '');
    if (flaw !== '') {
      found.findings.push({ ...place, problem: printable(flaw), remedy: wrongRow(row) });
      continue;
    }
    if (isDone(judged.status)) found.force = true;
    const { replaces: _before, ...rest } = row;
    const meant: Row = { ...rest, selected, prompt: reword(row), route: choice.route ?? row.route };
    found.findings.push(...(await foreign(meant, place, await stories.of(row.id))));
    draft.add(meant);
  }
  if (unseen.size > 0) throw new UsageError(`--ids ${[...unseen].join(', ')}: no such row in this output`);
  return found;
}

const wrongRow = ({ id }: Row): string =>
  `mend row "${printable(id, 80)}" in the manifest and run that, or name other rows with --ids`;

function chooser({ statuses, codes, ids }: Choice): (judged: ReportRow) => boolean {
  const named = ids && new Set(ids);
  const wanted = statuses ?? (codes || ids ? undefined : (['failed', 'held'] satisfies RowStatus[]));
  return ({ row, status, errorCode }) =>
    (named?.has(row.id) ?? true) &&
    (wanted?.includes(status) ?? true) &&
    (codes === undefined || (errorCode !== undefined && !isDone(status) && codes.includes(errorCode)));
}

/** What a row is asked for instead of its prompt. */
function rewording(template: string | undefined, columns: string[]): (row: Row) => string {
  if (template === undefined) return ({ prompt }) => prompt;
  const unknown = promptSlots(template).find((name) => !findSlot(columns, name));
  if (unknown !== undefined)
    throw new UsageError(
      `--prompt: {{${unknown}}} names no column; there are ${columns.join(', ') || 'none'}`,
    );
  return (row) => fillPrompt(template, (name) => valueOf(row, columns, name));
}

function valueOf(row: Row, columns: string[], name: string): string | undefined {
  const slot = findSlot(columns, name);
  if (!slot) return undefined;
  if ('column' in slot) return (row.columns[columns[slot.column] ?? ''] ?? '').trim();
  if (slot.field !== 'image') return String(row[slot.field]);
  return row.pictures.map((picture) => (picture.kind === 'url' ? picture.url : picture.path)).join('|');
}
