import type { DeskRun } from '../queue/desk.ts';
import type { RunState } from '../throttle/ledger.ts';
import type { Desks } from './desks.ts';
import { finishRun } from './finish.ts';
import { findRunOutput } from './outputs.ts';

/** What became of a cancelled run: its workers end it, it has ended here, or nobody who sees its output is there. */
export type Cancelled = 'by its workers' | 'here' | 'not yet' | Exclude<RunState, 'running' | 'paused'>;

/**
 * Cancels a run: no further call is sent, those in flight are finished and kept. Where no process works, its report is
 * made here. Undefined: its books are lost with Redis.
 */
export async function cancelRun(desks: Desks, run: DeskRun): Promise<Cancelled | undefined> {
  const { desk, ledger, queue } = desks;
  const before = await ledger.cancel(run.run);
  if (before === undefined || before === 'stopped') return before;
  if ((await desk.living()).length > 0) return 'by its workers';
  const output = await findRunOutput(run);
  if (!output) return 'not yet';
  await queue.withdraw(run.run, true);
  await finishRun(output, run.run, (await ledger.state(run.run))?.stop);
  await desk.finish(run.run, (await output.runs.end(run.run))?.summary ?? {});
  await ledger.remove(run.run);
  return 'here';
}
