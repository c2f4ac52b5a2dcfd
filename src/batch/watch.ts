import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes, SurroundingsError } from '../errors.ts';
import type { Progress } from '../queue/desk.ts';
import type { End } from '../records/runs.ts';
import type { Output } from './output.ts';
import { runLease, type Planned } from './plan.ts';
import type { Workshop } from './work.ts';

/** How long a run goes on without Redis or without the API. */
const patienceMs = 30 * 60_000;
const lookMs = 200;
const looksAWatch = 10;
const looksAProgress = 5;

export interface Watch {
  workshop: Workshop;
  output: Output;
  planned: Planned;
  /** Aborted with `SIGINT` or `SIGTERM`: no further call, finish what is in flight. */
  stop: AbortSignal;
  /** Told every second or so. */
  onProgress(progress: Progress): void;
}

/**
 * Waits until the run is finished, whoever finishes it. A stop ends a run that is ours, and leaves one that was joined.
 * @returns the run's end; undefined: stopped, and the run goes on elsewhere
 * @throws SurroundingsError when Redis, disk or API are gone for too long; the run can be taken up later
 */
export async function watchRun(watch: Watch): Promise<End | undefined> {
  const { workshop, output, planned, stop, onProgress } = watch;
  const { run, how } = planned;
  const own = how !== 'joined';
  let stopping = false;
  for (let looks = 0; ; looks++) {
    const end = await output.runs.end(run);
    if (end) return end;
    throwIfGone(workshop);
    if (stop.aborted && !own) return undefined;
    const toldNow = stop.aborted && !stopping;
    stopping = stop.aborted;
    if (toldNow) workshop.keepTo(run);
    // Without Redis these wait; the end and the surroundings are looked at all the same.
    if (own && (toldNow || looks % looksAWatch === 0)) void keepOn(watch).catch(() => undefined);
    if (looks % looksAProgress === 0) void workshop.desk.progress(run).then(onProgress, () => undefined);
    await sleep(lookMs);
  }
}

/** Keeps the run ours, on the desk even if Redis has lost it, and stopped if it was told to stop. */
async function keepOn({ workshop, output, planned, stop }: Watch): Promise<void> {
  const { desk, ledger } = workshop;
  const { how: _, ...run } = planned;
  await desk.lease(runLease(run.run));
  if (stop.aborted) {
    const code = stop.reason === 'SIGINT' ? exitCodes.sigint : exitCodes.sigterm;
    await ledger.stop(run.run, code, `stopped by ${String(stop.reason)}`);
  }
  if ((await desk.has(run.run)) || (await output.runs.end(run.run))) return;
  await desk.register(run);
}

function throwIfGone({ health }: Workshop): void {
  if (health.fault) throw health.fault;
  const now = performance.now();
  if (now - health.redisAt > patienceMs) throw new SurroundingsError('Redis has not answered for 30 minutes');
  if (health.apiGoneSince !== undefined && now - health.apiGoneSince > patienceMs) {
    throw new SurroundingsError('the API could not be reached for 30 minutes');
  }
}
