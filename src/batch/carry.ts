import { KeyTable } from '../key-table.ts';
import { fingerprint, knownSources } from '../records/fingerprint.ts';
import type { Run } from '../records/runs.ts';
import type { Draft } from './draft.ts';
import type { Output } from './output.ts';

/**
 * Rows that another row's call decided have no call of their own that would tell of them: where a new run leaves such a
 * row out, it takes over what the run before noted, while the row asks for the same.
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
  const noted = new KeyTable();
  for await (const rows of runs.plan(before)) {
    for (const { place, read } of rows) {
      if ((await notes(place.row))?.paid_by) noted.set(read().id, place.row);
    }
  }
  for (const row of noted.size === 0 ? [] : draft.all()) {
    const at = row.selected ? undefined : noted.get(row.id);
    const note = at === undefined ? undefined : await notes(at);
    const { paid_by: payer } = note ?? {};
    if (!note || !payer || payer.id === row.id) continue;
    const sources = knownSources(row.pictures, [note]);
    const call = (await calls.story(payer.id)).find(({ n }) => n === payer.n);
    if (sources && call?.fingerprint === fingerprint(origin, row, sources))
      await runs.note(run, { ...note, row: row.row });
  }
}
