import { cancelRun, pauseRun, resumeRun, type Cancelled } from '../batch/steer.ts';
import type { Config } from '../config.ts';
import { exitCodes, SurroundingsError, UsageError, type ExitCode } from '../errors.ts';
import type { DeskRun } from '../queue/desk.ts';
import type { RunState } from '../throttle/ledger.ts';
import type { Desks } from '../batch/desks.ts';
import { outputFolder } from '../storage/open.ts';
import type { Io } from './io.ts';
import { findRun, isPast, withDesks } from './with-desks.ts';

/** No further call of the run is sent until `resume`; those in flight are finished and kept. */
export function pause(id: string, config: Config, io: Io): Promise<ExitCode> {
  return withDesks(config, async (desks) => {
    const before = known(await pauseRun(desks, await findOn(desks, id)), id);
    const goOn = `To go on: reshoot resume ${id}`;
    if (before === 'running') io.out(`Run ${id} is paused; calls in flight are finished. ${goOn}\n`);
    else if (before === 'paused') io.out(`Run ${id} was paused already. ${goOn}\n`);
    else throw new UsageError(ending(id));
    return exitCodes.ok;
  });
}

/** A paused run goes on; parked accounts are tried again. */
export function resume(id: string, config: Config, io: Io): Promise<ExitCode> {
  return withDesks(config, async (desks) => {
    const before = known(await resumeRun(desks, await findOn(desks, id)), id);
    if (before !== 'paused' && before !== 'running') throw new UsageError(ending(id));
    io.out(before === 'paused' ? `Run ${id} goes on\n` : `Run ${id} was not paused; it is on\n`);
    if ((await desks.desk.living()).length === 0) io.err(nobodyWorks);
    return exitCodes.ok;
  });
}

/** No further call of the run is sent; those in flight are finished and kept, the other rows end as cancelled. */
export function cancel(id: string, config: Config, io: Io): Promise<ExitCode> {
  return withDesks(config, async (desks) => {
    const run = await findOn(desks, id);
    io.out(`${cancellations[await cancelRun(desks, run)](run)}\n`);
    return exitCodes.ok;
  });
}

/** Whoever watched over a run has left it to others. */
export const goesOn = (id: string): string =>
  `Run ${id} goes on without this command; to see its end: reshoot wait ${id}\n`;

export const nobodyWorks = 'No worker is alive: start one with: reshoot worker\n';

const cancellations: Record<Cancelled, (run: DeskRun) => string> = {
  'by its workers': ({ run }) =>
    `Run ${run} is cancelled; calls in flight are finished and kept. Its report: reshoot wait ${run}`,
  here: ({ run, output }) => `Run ${run} is cancelled. Report: ${outputFolder(output)}/report`,
  forgotten: ({ run, output }) =>
    `Run ${run} is cancelled and forgotten: its output ${outputFolder(output)} is not there, and nobody works on it`,
  stopped: ({ run }) => `Run ${run} is stopping already. Its report: reshoot wait ${run}`,
};

/** @throws UsageError when the run is finished or unknown */
async function findOn(desks: Desks, id: string): Promise<DeskRun> {
  const run = await findRun(desks, id);
  if (isPast(run)) throw new UsageError(`run ${id} is finished: reshoot status ${id}`);
  return run;
}

function known(state: RunState | undefined, id: string): RunState {
  if (state !== undefined) return state;
  throw new SurroundingsError(
    `Redis was restarted and doesn't know yet what run ${id} has spent: start reshoot worker (or the run's own command), ` +
      'then try again',
  );
}

const ending = (id: string): string => `run ${id} is ending already: reshoot wait ${id}`;
