import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { exitCodes, SurroundingsError } from '../errors.ts';
import { withDeadline } from '../queue/connect.ts';
import type { DeskRun } from '../queue/desk.ts';
import type { End } from '../records/runs.ts';
import type { Desks } from './desks.ts';
import { lookAt } from './look.ts';
import type { Output } from './output.ts';
import { findRunOutput } from './outputs.ts';
import { runLease, type Planned } from './plan.ts';
import type { RunView } from './view.ts';
import type { Workshop } from './work.ts';

/** How long a run goes on without Redis or without the API. */
const patienceMs = 30 * 60_000;
/** Where every call fails before it is sent, the next is tried within this time. */
const apiTriedMs = 2 * 60_000;
const lookMs = 200;
const looksAWatch = 10;
const looksAView = 2;
/** A run that is off the desk without an end was put there again by its `run` within this time, or never will be. */
const offDeskMs = 15_000;

interface Watching {
  config: Config;
  /** Aborted with `SIGINT` or `SIGTERM`. */
  stop: AbortSignal;
  /** Told a few times a second how the run stands. */
  onLook(view: RunView): void;
}

export interface Watch extends Watching {
  workshop: Workshop;
  output: Output;
  planned: Planned;
}

/**
 * Waits until a run that is worked on here is finished, whoever finishes it. A stop ends a run that is ours (no further
 * call, what is in flight is finished), and leaves one that was joined.
 * @returns the run's end; undefined: stopped, and the run goes on elsewhere, or Redis is silent and can't be told
 * @throws SurroundingsError when Redis, disk or API are gone for too long; the run can be taken up later
 */
export async function watchRun(watch: Watch): Promise<End | undefined> {
  const { workshop, output, planned, config, stop, onLook } = watch;
  const { run, how } = planned;
  const own = how !== 'joined';
  let stopping = false;
  let cutOff = false;
  let onDeskAt = performance.now();
  for (let looks = 0; ; looks++) {
    const end = await output.runs.end(run);
    if (end) return end;
    throwIfGone(workshop);
    if (cutOff || (stop.aborted && !own)) return undefined;
    if (performance.now() - onDeskAt > offDeskMs && !own) throw new SurroundingsError(offDesk(run));
    const toldNow = stop.aborted && !stopping;
    stopping = stop.aborted;
    if (toldNow) workshop.keepTo(run);
    // Without Redis these wait; the end and the surroundings are looked at all the same.
    if (own && (toldNow || looks % looksAWatch === 0)) void keepOn(watch).catch(() => undefined);
    if (stopping && looks % looksAWatch === 0) void workshop.isCutOff().then((is) => (cutOff ||= is));
    // While Redis doesn't answer nobody knows.
    if (!own && looks % looksAWatch === 0) {
      const seen = (on: boolean): void => void (on && (onDeskAt = performance.now()));
      workshop.desk.has(run).then(seen, () => seen(true));
    }
    if (looks % looksAView === 0)
      void lookAt(workshop, config, planned, workshop.capacity()).then(onLook, () => undefined);
    await sleep(lookMs);
  }
}

/** Keeps the run ours, on the desk even if Redis has lost it, and stopped if it was told to stop. */
async function keepOn({ workshop, output, planned, stop }: Watch): Promise<void> {
  const { desk, ledger } = workshop;
  const { how: _how, was: _was, replaced: _replaced, ...run } = planned;
  await desk.lease(runLease(run.run));
  if (stop.aborted) {
    const code = stop.reason === 'SIGINT' ? exitCodes.sigint : exitCodes.sigterm;
    await ledger.stop(run.run, code, `stopped by ${String(stop.reason)}`);
  }
  if ((await desk.has(run.run)) || (await output.runs.end(run.run))) return;
  await desk.register(run);
}

function throwIfGone(workshop: Workshop): void {
  const { redisAt, apiGone, fault } = workshop.health();
  if (fault) throw fault;
  const now = performance.now();
  if (now - redisAt > patienceMs) throw new SurroundingsError('Redis has not answered for 30 minutes');
  // A run that is paused, or waits for its next try, has not heard of the API for a while.
  if (apiGone && now - apiGone.since > patienceMs && now - apiGone.until < apiTriedMs) {
    throw new SurroundingsError('the API could not be reached for 30 minutes');
  }
}

/**
 * Waits until a run that others work on is finished.
 * @returns its summary; undefined: stopped, and the run goes on
 * @throws SurroundingsError when Redis is gone for too long, or the run was cut off or replaced
 */
export async function awaitRun(
  desks: Desks,
  run: DeskRun,
  { config, stop, onLook }: Watching,
): Promise<Record<string, unknown> | undefined> {
  const output = await findRunOutput(run).catch(() => undefined);
  let heardAt = performance.now();
  let onDeskAt = heardAt;
  while (!stop.aborted) {
    const summary = await withDeadline(endOf(desks, run, output), 5000).then(
      (found) => {
        heardAt = performance.now();
        if (found === 'on') onDeskAt = heardAt;
        return typeof found === 'object' ? found : undefined;
      },
      () => undefined,
    );
    if (summary) return summary;
    if (performance.now() - heardAt > patienceMs)
      throw new SurroundingsError('Redis has not answered for 30 minutes');
    if (heardAt - onDeskAt > offDeskMs) throw new SurroundingsError(offDesk(run.run));
    await lookAt(desks, config, run).then(onLook, () => undefined);
    await sleep(lookMs * looksAView, undefined, { signal: stop }).catch(() => undefined);
  }
  return undefined;
}

async function endOf(
  { desk }: Desks,
  { run }: DeskRun,
  output: Output | undefined,
): Promise<Record<string, unknown> | 'on' | 'off'> {
  const end = await output?.runs.end(run);
  if (end) return end.summary;
  if (await desk.has(run)) return 'on';
  return (await desk.past()).find((past) => past.run === run)?.summary ?? 'off';
}

const offDesk = (run: string): string =>
  `run ${run} is on no longer, and has no end: it was cut off, or another took its place. ` +
  'To go on with it give its run or submit command again.';
