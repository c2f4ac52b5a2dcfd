import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import type { Day } from './day.ts';
import type { Tally } from './processes.ts';

/** What must be so at the end, and whether it is. */
export interface Check {
  says: string;
  holds: boolean;
}

interface Booked {
  calls: number;
  charged: number;
  unknown: number;
}

/** What the outputs' `calls.csv` have of the calls that went out. */
async function bookedIn(outputs: string[]): Promise<Booked> {
  const booked: Booked = { calls: 0, charged: 0, unknown: 0 };
  for (const output of outputs) {
    const text = await readFile(join(output, 'report/calls.csv'));
    const lines = parse<{ outcome: string; charged: string }>(text, { bom: true, columns: true });
    for (const { outcome, charged } of lines) {
      if (outcome === 'not_sent') continue;
      booked.calls += 1;
      if (charged === 'yes') booked.charged += 1;
      if (charged === 'unknown') booked.unknown += 1;
    }
  }
  return booked;
}

/** Holds what the product says against what the simulator did. */
export async function checkBooks(day: Day, tally: Tally): Promise<Check[]> {
  const { calls, charged, unknown } = await bookedIn(day.outputs);
  const { succeeded = 0, skipped = 0, failed = 0, ...others } = day.outcomes;
  const undone = Object.values(others).reduce((sum, times) => sum + times, 0);
  return [
    {
      says: `rows: ${day.rows} given, ${succeeded} succeeded, ${skipped} skipped, ${failed} failed, ${undone} anything else`,
      holds: succeeded + skipped + failed === day.rows && undone === 0,
    },
    { says: `calls: ${tally.calls} at the simulator, ${calls} in calls.csv`, holds: tally.calls === calls },
    {
      says: `credits: ${tally.charged} taken; by calls.csv ${charged}, and up to ${unknown} more`,
      holds: charged <= tally.charged && tally.charged <= charged + unknown,
    },
    { says: `refusals: ${tally.refused} calls over the limit`, holds: tally.refused === 0 },
  ];
}
