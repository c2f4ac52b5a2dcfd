import { KeyTable } from '../key-table.ts';
import type { Row } from '../model.ts';
import { fingerprint, knownSources } from '../records/fingerprint.ts';
import type { Note, Run } from '../records/runs.ts';
import type { Draft } from './draft.ts';
import type { Output } from './output.ts';

/**
 * Rows that another row's call decided, or whose picture could not even be sent, have no call of their own that would
 * tell of them: where a new run leaves such a row out, it takes over what the run before noted, while the row asks for
 * the same.
 */
export async function carryNotes(
  output: Output,
  before: string,
  { run, origin }: Pick<Run, 'run' | 'origin'>,
  draft: Draft,
): Promise<void> {
  if (draft.chosen === draft.rows) return;
  const { runs, calls } = output;
  const notes = await runs.notes(before);
  const shared = new KeyTable();
  const unsent = new KeyTable();
  for await (const rows of runs.plan(before)) {
    for (const { place, read } of rows) {
      const note = await notes(place.row);
      if (note?.paid_by) shared.set(read().id, place.row);
      else if (note?.status === 'failed') unsent.set(askedBy(read()), place.row);
    }
  }
  const stillHolds = async (row: Row, { paid_by: payer, ...note }: Note): Promise<boolean> => {
    if (!payer) return true;
    const sources = payer.id === row.id ? undefined : knownSources(row.pictures, [note]);
    const call = (await calls.story(payer.id)).find(({ n }) => n === payer.n);
    return sources !== undefined && call?.fingerprint === fingerprint(origin, row, sources);
  };
  for (const row of shared.size + unsent.size === 0 ? [] : draft.all()) {
    const at = row.selected ? undefined : (shared.get(row.id) ?? unsent.get(askedBy(row)));
    const note = at === undefined ? undefined : await notes(at);
    if (note && (await stillHolds(row, note))) await runs.note(run, { ...note, row: row.row });
  }
}

const askedBy = ({ id, prompt, size, ratio, pictures }: Row): string =>
  JSON.stringify([id, prompt, size, ratio, pictures]);
