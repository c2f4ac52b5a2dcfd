import { exitCodes, SurroundingsError, toError } from '../errors.ts';
import type { DeskRun } from '../queue/desk.ts';
import type { Steering } from '../records/runs.ts';
import { cancelled, type RunState } from '../throttle/ledger.ts';
import type { Desks } from './desks.ts';
import { feedLease } from './feed.ts';
import { finishRun } from './finish.ts';
import type { Output } from './output.ts';
import { findRunOutput } from './outputs.ts';

/** What became of a cancelled run: its workers end it, it has ended here, or it is forgotten with its output. */
export type Cancelled = 'by its workers' | 'here' | 'forgotten' | 'stopped';

/** No further call of the run is sent until it is resumed. @returns the state it had; undefined: its books are lost */
export async function pauseRun({ ledger }: Desks, run: DeskRun): Promise<RunState | undefined> {
  const before = await ledger.pause(run.run);
  if (before === 'running' || before === 'paused') await remember(run, 'paused');
  return before;
}

/** A paused run goes on. @returns as `pauseRun` */
export async function resumeRun({ ledger, accounts }: Desks, run: DeskRun): Promise<RunState | undefined> {
  await accounts.probe();
  const before = await ledger.resume(run.run);
  if (before === 'paused' || before === 'running') await remember(run, 'running');
  return before;
}

/**
 * Cancels a run: no further call is sent, those in flight are finished and kept. Where nobody feeds it, it is ended here.
 * @throws SurroundingsError when it was cancelled, and its report can't be made
 */
export async function cancelRun(desks: Desks, run: DeskRun): Promise<Cancelled> {
  const { desk, ledger } = desks;
  // Said to the output first: books that Redis has lost are made again from there.
  const output = await remember(run, 'cancelled');
  if ((await ledger.cancel(run.run)) === 'stopped') return 'stopped';
  if (await desk.holder(feedLease(run.run))) return 'by its workers';
  if (output) await endHere(desks, run, output);
  else await takeOff(desks, run.run);
  return output ? 'here' : 'forgotten';
}

/** Writes it where a Redis that loses its data doesn't lose it. Undefined: the output isn't seen here. */
async function remember(run: DeskRun, state: Steering): Promise<Output | undefined> {
  const output = await findRunOutput(run);
  await output?.runs.steer(run.run, state);
  return output;
}

async function endHere(desks: Desks, run: DeskRun, output: Output): Promise<void> {
  await desks.queue.withdraw(run.run, true);
  try {
    await finishRun(output, run.run, { code: exitCodes.cancelled, reason: cancelled });
    await desks.desk.finish(run.run, (await output.runs.end(run.run))?.summary ?? {});
    await desks.ledger.remove(run.run);
  } catch (error) {
    await takeOff(desks, run.run);
    throw new SurroundingsError(
      `run ${run.run} is cancelled, and its report can't be made: ${toError(error).message}. ` +
        'When that is mended: reshoot report on its output',
      { cause: error },
    );
  }
}

async function takeOff({ desk, ledger, queue }: Desks, run: string): Promise<void> {
  await queue.withdraw(run, true);
  await desk.remove(run);
  await ledger.remove(run);
}
