import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { Rig } from '../fixtures/rig.ts';

/** All rows ended well, none was paid for twice in silence, and no answer is left over. */
export async function expectAllDone(rig: Rig, rows: number): Promise<void> {
  const results = await rig.results();
  expect(results).toHaveLength(rows);
  for (const { status } of results) expect(['succeeded', 'skipped']).toContain(status);
  expect(await paidInSilence(rig)).toEqual([]);
  expect(await readdir(join(rig.out, '.reshoot', 'spool'))).toEqual([]);
}

/** Rows of `prompts()` that were paid for more often than the report says that they may have been. */
export async function paidInSilence(rig: Rig): Promise<string[]> {
  const paid = (row: number): number =>
    rig.simulator.calls.filter((call) => call.charged && call.row?.split(' ')[1] === String(row)).length;
  return (await rig.results()).flatMap(({ id, row, credits, credits_unknown: unknown }) =>
    paid(row) > Math.max(1, credits + unknown) ? [id] : [],
  );
}
