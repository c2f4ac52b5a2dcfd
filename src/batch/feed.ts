import { toError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Row } from '../model.ts';
import type { Desk, DeskRun } from '../queue/desk.ts';
import type { Job } from '../queue/job.ts';
import type { RowEnd } from '../queue/progress.ts';
import type { JobQueue } from '../queue/queue.ts';
import type { Place, PlannedRow } from '../records/runs.ts';
import type { RowRules } from '../records/state.ts';
import type { Stories } from '../records/stories.ts';
import type { Ledger } from '../throttle/ledger.ts';
import { rulesOf } from './edit.ts';
import { endWithoutJob } from './end.ts';
import { spooledCalls } from './keep.ts';
import type { Output } from './output.ts';
import { lookAtNames, type Standing } from './standing.ts';

export interface FeederOptions {
  desk: Desk;
  queue: JobQueue;
  ledger: Ledger;
  /** Rows of each run kept waiting: about two windows of the limit. */
  ahead: number;
  /** The output of a run, if this process sees it and works for its API. */
  findOutput: (run: DeskRun) => Promise<Output | undefined>;
  log: Log;
}

export interface Feeder {
  /** Feeds every run whose lease this process has or gets. First feed, resume and a lost Redis are this one step. */
  feed(): Promise<void>;
  /** Could the run not be fed the last time this process tried? */
  isStuck(run: string): boolean;
  /** Lets others feed. */
  close(): Promise<void>;
}

/** What the lease's holder knows of a run. */
interface Feeding {
  run: DeskRun;
  output: Output;
  /** Rows before it are settled or have a job. */
  rest: PlanCursor;
  rules: RowRules;
  stories: Stories;
  standing: Standing;
  /** Answers that a killed process left in the spool, by call. */
  spooled: Set<string>;
}

const keepLeaseMs = 3000;

/** Whoever has just planned has looked at all records. */
const freshEnoughMs = 60_000;

/** So long the feeder may settle rows at a time. */
const momentMs = 2000;

/** A run that can't be fed is tried again this much later. */
const stuckMs = 30_000;

export const feedLease = (run: string): string => `feed:${run}`;

export function createFeeder(options: FeederOptions): Feeder {
  const { desk, queue, ledger, log } = options;
  const feedings = new Map<string, Feeding>();
  const stuckUntil = new Map<string, number>();

  const feed = async (): Promise<void> => {
    const runs = await desk.runs();
    for (const [id, feeding] of feedings) {
      if (runs.some(({ run }) => run === id)) continue;
      feedings.delete(id);
      await putBack(feeding);
    }
    if (runs.length === 0) return;
    const waiting = await queue.waiting();
    for (const run of runs) {
      // A run that can't be fed, its plan damaged say, takes nothing from the others.
      if (isStuck(run.run)) continue;
      await feedOne(run, waiting.get(run.run) ?? 0).catch((error: unknown) => {
        stuckUntil.set(run.run, performance.now() + stuckMs);
        log.warn({ run: run.run, error: toError(error).message }, 'this run is not fed; will try again');
      });
    }
  };

  const isStuck = (run: string): boolean => (stuckUntil.get(run) ?? 0) > performance.now();

  /** Redis has lost a run that nobody watches over: its plan brings it back. */
  const putBack = async ({ run, output }: Feeding): Promise<void> => {
    if (!run.submitted || (await output.runs.end(run.run))) return;
    if ((await output.runs.steering(run.run)) !== 'cancelled') await desk.register(run);
  };

  const feedOne = async (run: DeskRun, waiting: number): Promise<void> => {
    if (await desk.lease(feedLease(run.run))) {
      feedings.delete(run.run);
      return;
    }
    const feeding = feedings.get(run.run) ?? (await begin(run));
    if (feeding) await advance(feeding, waiting);
    else await desk.release(feedLease(run.run));
  };

  const begin = async (run: DeskRun): Promise<Feeding | undefined> => {
    const output = await options.findOutput(run);
    if (!output || (await endsAtOnce(run))) return undefined;
    const rules = rulesOf(await output.runs.read(run.run));
    const feeding = { run, output, rules, ...(await start(run, output)) };
    feedings.set(run.run, feeding);
    return feeding;
  };

  /** A run whose rows were all settled when it was planned ends without a look at its records. */
  const endsAtOnce = async (run: DeskRun): Promise<boolean> => {
    const known = await ledger.state(run.run);
    return (known?.state ?? 'running') === 'running' && finishIfSettled(run);
  };

  /** What is known at the start of a round: where the plan begins, what the records say, what stands in the output. */
  const start = async (
    { run }: DeskRun,
    { runs, calls, storage }: Output,
  ): Promise<Pick<Feeding, 'rest' | 'stories' | 'standing' | 'spooled'>> => {
    // A million records take longer to look through than a lease lasts.
    const keeping = setInterval(() => void desk.lease(feedLease(run)).catch(() => undefined), keepLeaseMs);
    try {
      const spooled = await spooledCalls(storage);
      // A row that looks less done than it is gets a job, which finds out.
      const stories = await calls.stories(freshEnoughMs);
      return { rest: cursorOf(runs.plan(run)), stories, standing: lookAtNames(storage), spooled };
    } finally {
      clearInterval(keeping);
    }
  };

  const advance = async (feeding: Feeding, waiting: number): Promise<void> => {
    const { run, output } = feeding;
    const known = await ledger.state(run.run);
    switch (known?.state) {
      case 'paused':
        // Rows that wait for a slot lose their jobs now.
        feeding.rest = cursorOf(output.runs.plan(run.run));
        return;
      case 'stopped':
      case 'cancelled':
        return wind(feeding);
      case 'running':
      case undefined:
        return supply(feeding, waiting);
    }
  };

  /**
   * Adds rows until enough wait, settles those that need no job, and ends the run when all are settled. Where rows are
   * settled by the thousand, it leaves off after a moment, so that leases are kept.
   */
  const supply = async (feeding: Feeding, waiting: number): Promise<void> => {
    const { run, rest } = feeding;
    const isSettled = await desk.settled(run.run);
    const jobs: Job[] = [];
    const ends: { row: number; end: RowEnd }[] = [];
    const until = performance.now() + momentMs;
    while (waiting + jobs.length < options.ahead && performance.now() < until) {
      const next = await rest.next();
      if (!next) break;
      if (isSettled(next.place.row)) continue;
      const end = await endOf(feeding, next.read());
      if (end) ends.push({ row: next.place.row, end });
      else jobs.push(jobOf(run, next.place));
    }
    if (ends.length > 0) await desk.settleAll(run.run, ends);
    if (jobs.length > 0) await queue.add(jobs);
    if (rest.isOver() && jobs.length === 0) await closeIfSettled(feeding);
  };

  /** Every row has had its job: the run ends, or goes round once more for rows whose jobs were lost. */
  const closeIfSettled = async (feeding: Feeding): Promise<void> => {
    const { run, output } = feeding;
    if ((await queue.hasJobs(run.run)) || (await finishIfSettled(run))) return;
    log.info({ run: run.run, rows: run.rows }, 'going round once more for rows without a job');
    Object.assign(feeding, await start(run, output));
  };

  /** @returns are all rows settled, so that the run ends? */
  const finishIfSettled = async (run: DeskRun): Promise<boolean> => {
    if ((await desk.progress(run.run)).settled < run.rows) return false;
    if (!(await queue.hasJobs(run.run))) await queue.add([{ ...common(run), kind: 'finish' }]);
    return true;
  };

  /** A stopped run: takes back what waits, and when nothing is in flight any more settles the rest. */
  const wind = async ({ run }: Feeding): Promise<void> => {
    await queue.withdraw(run.run, false);
    if ((await queue.active(run.run)).size > 0) return;
    const all = Array.from({ length: run.rows }, (_, i) => i + 1);
    await desk.settleAlike(run.run, all, 'other');
    await queue.add([{ ...common(run), kind: 'finish' }]);
  };

  return {
    feed,
    isStuck,
    async close() {
      for (const run of feedings.keys()) await desk.release(feedLease(run));
      feedings.clear();
    },
  };
}

/** Goes through a plan, a row at a time. */
interface PlanCursor {
  /** Undefined: that was all. */
  next(): Promise<PlannedRow | undefined>;
  isOver(): boolean;
}

function cursorOf(plan: AsyncGenerator<PlannedRow[]>): PlanCursor {
  let rows: PlannedRow[] = [];
  let at = 0;
  let over = false;
  return {
    async next() {
      while (at === rows.length && !over) {
        const more = await plan.next();
        over = more.done === true;
        [rows, at] = [more.done ? [] : more.value, 0];
      }
      return rows[at++];
    },
    isOver: () => over,
  };
}

/** How a row ends that needs no job, without reading a file. */
async function endOf(
  { output, run, rules, stories, standing, spooled }: Feeding,
  row: Row,
): Promise<RowEnd | undefined> {
  if (!row.selected || row.invalid !== undefined) return 'left out';
  const { storage } = output;
  const calls = await stories.of(row.id);
  const end = await endWithoutJob(row, calls, run.origin, rules, { standing, storage, spooled });
  if (end?.is === 'held' && end.call.on_unknown !== 'hold') await output.calls.hold(end.call);
  return end?.is;
}

function common({ run, output, store, origin }: DeskRun) {
  return { v: 1 as const, run, output, store, origin };
}

function jobOf(run: DeskRun, place: Place): Job {
  return { ...common(run), kind: 'row', place };
}
