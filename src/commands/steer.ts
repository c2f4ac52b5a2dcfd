import { cancelRun, type Cancelled } from '../batch/steer.ts';
import type { Config } from '../config.ts';
import { exitCodes, SurroundingsError, UsageError, type ExitCode } from '../errors.ts';
import type { DeskRun } from '../queue/desk.ts';
import type { RunState } from '../throttle/ledger.ts';
import type { Desks } from '../batch/desks.ts';
import { outputFolder } from '../storage/open.ts';
import type { Io } from './io.ts';
import { brieflyWithDesks, findRun, isPast, withDesks } from './with-desks.ts';

/** No further call of the run is sent until `resume`; those in flight are finished and kept. */
export function pause(id: string, config: Config, io: Io): Promise<ExitCode> {
  return brieflyWithDesks(config, async (desks) => {
    const run = await findOn(desks, id);
    const before = known(await desks.ledger.pause(run.run), id);
    if (before === 'running')
      io.out(`Run ${id} is paused; calls in flight are finished. To go on: reshoot resume ${id}\n`);
    else if (before === 'paused') io.out(`Run ${id} was paused already. To go on: reshoot resume ${id}\n`);
    else throw new UsageError(ending(id));
    return exitCodes.ok;
  });
}

/** A paused run goes on; parked accounts are tried again. */
export function resume(id: string, config: Config, io: Io): Promise<ExitCode> {
  return brieflyWithDesks(config, async (desks) => {
    const run = await findOn(desks, id);
    await desks.accounts.probe();
    const before = known(await desks.ledger.resume(run.run), id);
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
    const became = known(await cancelRun(desks, run), id);
    io.out(`${cancellations[became](run)}\n`);
    return exitCodes.ok;
  });
}

export const nobodyWorks = 'No worker is alive: start one with: reshoot worker\n';

const cancellations: Record<Cancelled, (run: DeskRun) => string> = {
  'by its workers': ({ run }) =>
    `Run ${run} is cancelled; calls in flight are finished and kept. Its report: reshoot wait ${run}`,
  here: ({ run, output }) => `Run ${run} is cancelled. Report: ${outputFolder(output)}/report`,
  'not yet': ({ run, output }) =>
    `Run ${run} is cancelled. Its output ${outputFolder(output)} is not seen here: the next worker that sees it makes the report`,
  cancelled: ({ run }) => `Run ${run} was cancelled already. Its report: reshoot wait ${run}`,
  stopped: ({ run }) => `Run ${run} is stopping already. Its report: reshoot wait ${run}`,
};

/** @throws UsageError when the run is finished or unknown */
async function findOn(desks: Desks, id: string): Promise<DeskRun> {
  const run = await findRun(desks, id);
  if (isPast(run)) throw new UsageError(`run ${id} is finished: reshoot status ${id}`);
  return run;
}

function known<T extends RunState | Cancelled>(state: T | undefined, id: string): T {
  if (state !== undefined) return state;
  throw new SurroundingsError(
    `Redis has lost the books of run ${id}; its workers make them again with the next call. Try again in a minute`,
  );
}

const ending = (id: string): string => `run ${id} is ending already: reshoot wait ${id}`;
