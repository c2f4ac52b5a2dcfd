import { createHash, randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { SurroundingsError, UsageError } from '../errors.ts';
import type { Manifest } from '../manifest/read.ts';
import type { Picture } from '../model.ts';
import { livesHere, type Owner } from '../owner.ts';
import type { Desk, DeskRun } from '../queue/desk.ts';
import { addUp } from '../records/books.ts';
import { newRunId, type Run, type Steering } from '../records/runs.ts';
import type { Books, Ledger } from '../throttle/ledger.ts';
import { isAsBefore, type Before } from './before.ts';
import { carryNotes } from './carry.ts';
import { extraCalls, type CheckOptions } from './check.ts';
import type { Desks } from './desks.ts';
import type { AskedFrom } from './asked.ts';
import type { CarriedDraft } from './unchanged.ts';
import { createDraft, type Draft, type PlanSource } from './draft.ts';
import { feedLease } from './feed.ts';
import { closeReplaced, type Replaced } from './finish.ts';
import { expectNotElsewhere } from './in-flight.ts';
import type { Output } from './output.ts';

export interface PlanOptions extends Omit<CheckOptions, 'manifest'> {
  /** As the user named it. */
  file: string;
  haltShare: number | undefined;
  /** What an account may spend in a day of the time zone; undefined: as much as it has. */
  dayCap: { credits: number; timeZone: string } | undefined;
  timeoutMs: number;
  /** Which rows a `retry` was asked for; undefined: this is none. */
  again?: string | undefined;
}

/** A plan that is to become a run. */
export interface PlanOrder extends PlanOptions {
  /** The command that plans goes at once; the run stays on without it. */
  submitted: boolean;
  /** Aborted: nothing is begun any more. */
  stop: AbortSignal;
}

export interface Planned extends DeskRun {
  /** `new`; `resumed`: one that was cut off goes on; `joined`: it is already on. */
  how: 'new' | 'resumed' | 'joined';
  /** It was paused, or cancelled without an end, when it was taken up again. */
  was: Steering;
  /** Another plan was cut off in this output, and this one takes its place. */
  replaced: Replaced | undefined;
}

/** A sound manifest with its rows. */
export interface Checked {
  manifest: Pick<Manifest, 'columns' | 'retry' | 'notes'>;
  draft: Draft | CarriedDraft;
  /** What the rows were read from, where that can be told. */
  asked?: Pick<AskedFrom, 'hash'> | undefined;
  /** What the output was like before it was checked against; undefined: it is checked again. */
  before?: Before | undefined;
}

type PlanDesks = Pick<Desks, 'desk' | 'ledger' | 'queue'>;

export const runLease = (run: string): string => `run:${run}`;

/** A plan follows its check by this much at most, or looks at the records again. */
const checkedMs = 60_000;

/** With what is counted for a day that began before. */
const longestDayMs = 26 * 3_600_000;

/** While a plan is made its lease is kept. */
const keepLeaseMs = 3000;

/**
 * Writes the plan and puts the run on the desk, or goes on with one that was cut off, or joins one that is on.
 * @returns undefined: stopped before anything was begun
 * @throws UsageError when another plan is on in this output, or the same one with other options, or the run may be on
 * where this Redis is not
 */
export async function planRun(
  checked: Checked,
  output: Output,
  options: PlanOrder,
  desks: PlanDesks,
): Promise<Planned | undefined> {
  const lease = `plan:${output.store}`;
  await takeLease(desks.desk, lease);
  const keeping = setInterval(() => void desks.desk.lease(lease).catch(() => undefined), keepLeaseMs);
  try {
    const { draft, columns } = await wholeDraft(checked, output);
    const done = await stillDone(draft, checked.before, output);
    const plan = planHash(draft, options);
    const latest = await unfinished(output);
    let replaced: Replaced | undefined;
    if (options.stop.aborted) return undefined;
    if (latest) {
      const same = latest.plan === plan;
      const on = await whatIsOn(desks.desk, latest.run);
      if (on && !same) throw new UsageError(anotherPlan(latest.run));
      if (!on) await expectNotElsewhere(output, latest, desks.desk);
      const was = await output.runs.steering(latest.run);
      if (on) {
        expectOptions(latest, optionsOf(options, draft));
        await expectGoingOn(desks.ledger, latest.run, options);
        return { ...on, how: 'joined', was, replaced };
      }
      if (same) {
        const run = { ...optionsOf(options, draft), ...identityOf(latest) };
        if (was !== 'running') await output.runs.steer(run.run, 'running');
        return { ...(await begin(run, output, desks, options, 0)), how: 'resumed', was, replaced };
      }
      // Said first: who still has rows of it in hand makes its books again from there.
      await output.runs.steer(latest.run, 'cancelled');
      await forget(latest.run, desks);
      // Where its plan or its records are damaged, its calls still stand in calls.csv.
      replaced = await closeReplaced(output, latest.run).catch(() => undefined);
    }
    const before = (await output.runs.list()).at(-1);
    const run: Run = {
      ...optionsOf(options, draft),
      run: newRunId(new Date(), randomBytes(3).toString('hex'), before),
      started_at: new Date().toISOString(),
      plan,
      rows: draft.rows,
      columns,
      ...askedOf(checked),
      ...('carriedFrom' in draft && { carried_from: draft.carriedFrom }),
    };
    await output.runs.writePlan(run.run, draft.lines());
    if (before !== undefined && !('carriedFrom' in draft)) await carryNotes(output, before, run, draft);
    // It has made no call yet; those of earlier runs were looked at when the manifest was checked.
    const opened = await begin(run, output, desks, options, checkedMs, done);
    return { ...opened, how: 'new', was: 'running', replaced };
  } finally {
    clearInterval(keeping);
    await desks.desk.release(lease);
  }
}

/** Rows that were found done, as long as nothing has changed since; else the feeder looks at each. */
async function stillDone(
  { done, folders }: PlanSource,
  before: Before | undefined,
  output: Output,
): Promise<readonly number[]> {
  if (!before || done.length === 0) return [];
  return (await isAsBefore(output, before, folders)) ? done : [];
}

const anotherPlan = (run: string): string =>
  `run ${run} is still on in this output, with another plan: wait for its end (reshoot wait ${run}) or end it ` +
  `(reshoot cancel ${run}), then start this one; or name another output`;

/** Options that a run is on with can't be changed by whoever joins it: a cap above all must not be ignored silently. */
function expectOptions(on: Run, given: RunOptions): void {
  const names = {
    max_attempts: '--max-attempts',
    max_credits: '--max-credits',
    max_credits_per_day: 'maxCreditsPerDay',
    time_zone: 'timeZone',
    retry_budget: '--retry-budget',
    on_unknown: '--on-unknown',
    halt_share: '--halt',
    timeout_ms: '--timeout',
    input_max: '--input-max',
    strict: '--inputs',
  } as const;
  const differing = Object.entries(names).filter(
    ([key]) => on[key as keyof typeof names] !== given[key as keyof typeof names],
  );
  if (differing.length === 0) return;
  throw new UsageError(
    `run ${on.run} is on with another ${differing.map(([, name]) => name).join(', ')}: join it with the same options, ` +
      `or end it first (reshoot cancel ${on.run}), then start again`,
  );
}

/** Whoever submits wants rows done, which a run that is ending won't do. */
async function expectGoingOn(ledger: Ledger, run: string, { submitted }: PlanOrder): Promise<void> {
  const state = submitted ? (await ledger.state(run))?.state : undefined;
  if (state === 'cancelled' || state === 'stopped')
    throw new UsageError(`run ${run} is just ending: wait for it (reshoot wait ${run}), then submit again`);
}

/** Two commands that plan into one output do so one after the other. */
async function takeLease(desk: Desk, lease: string): Promise<void> {
  for (const until = performance.now() + 30_000; await desk.lease(lease); await sleep(100)) {
    if (performance.now() > until)
      throw new SurroundingsError('another reshoot is planning into this output for too long');
  }
}

async function unfinished(output: Output): Promise<Run | undefined> {
  const latest = (await output.runs.list()).at(-1);
  if (latest === undefined || (await output.runs.end(latest))) return undefined;
  return output.runs.read(latest);
}

/** The run on the desk, where somebody living works on it or watches over it, or it was submitted. */
async function whatIsOn(desk: Desk, run: string): Promise<DeskRun | undefined> {
  const known = (await desk.runs()).find((other) => other.run === run);
  if (!known || known.submitted) return known;
  return ((await desk.holder(runLease(run))) ?? (await desk.holder(feedLease(run)))) && known;
}

async function begin(
  run: Run,
  output: Output,
  { desk, ledger, queue }: PlanDesks,
  options: PlanOrder,
  oldestMs: number,
  done: readonly number[] = [],
): Promise<DeskRun> {
  await queue.withdraw(run.run, true);
  await desk.remove(run.run);
  await output.runs.write(run);
  const lives = (owner: Owner): boolean => livesHere(owner) !== false;
  // A worker may still have rows of it in hand, whose credits move while the records are read.
  await ledger.open(run.run, () => booksOf(output, run, options.windowMs, lives, oldestMs, false));
  // Before the plan's lease ends: whoever plans next must find somebody who watches over the run.
  if (!options.submitted) await desk.lease(runLease(run.run));
  const { origin, manifest, rows } = run;
  const chosen = run.chosen ?? rows;
  const identity = { run: run.run, output: output.storage.uri, store: output.store };
  const registered = {
    v: 1 as const,
    ...identity,
    origin,
    manifest,
    rows,
    chosen,
    submitted: options.submitted,
  };
  // The feeder would find them done as well, but only after reading a million plans and records once more.
  if (done.length > 0) await desk.settleAlike(run.run, done, 'skipped');
  await desk.register(registered);
  return registered;
}

async function forget(run: string, { desk, ledger, queue }: PlanDesks): Promise<void> {
  await queue.withdraw(run, true);
  await desk.remove(run);
  await ledger.remove(run);
}

/** A run's money, added up from the records as they are, or were at most so many milliseconds ago. */
export async function booksOf(
  output: Output,
  run: Run,
  windowMs: number,
  lives: (owner: Owner) => boolean,
  oldestMs = 0,
  isMend = true,
): Promise<Books> {
  const state = await output.runs.steering(run.run);
  const now = Date.now();
  // Who has lost its books has lost the day's as well, which other runs may go by.
  const daySince = run.max_credits_per_day === undefined && !isMend ? Infinity : now - longestDayMs;
  // A call may be sent a little later than its record says.
  return addUp(run, state, await output.calls.stories(oldestMs), now - 1.25 * windowMs, daySince, lives);
}

function identityOf({
  run,
  started_at,
  plan,
  rows,
  columns,
}: Run): Pick<Run, 'run' | 'started_at' | 'plan' | 'rows' | 'columns'> {
  return { run, started_at, plan, rows, columns };
}

type RunOptions = Omit<Run, 'run' | 'started_at' | 'plan' | 'rows' | 'columns'>;

function optionsOf(options: PlanOptions, { chosen }: PlanSource): RunOptions {
  return {
    v: 1,
    chosen,
    manifest: options.file,
    origin: options.origin,
    max_attempts: options.maxAttempts,
    retry_budget: extraCalls(chosen, options.retryBudget),
    timeout_ms: options.timeoutMs,
    force: options.force,
    ...(options.pictures.maxSide !== undefined && { input_max: options.pictures.maxSide }),
    ...(options.pictures.strict && { strict: true }),
    ...(options.maxCredits !== undefined && { max_credits: options.maxCredits }),
    ...(options.dayCap && {
      max_credits_per_day: options.dayCap.credits,
      time_zone: options.dayCap.timeZone,
    }),
    ...(options.onUnknown && { on_unknown: options.onUnknown }),
    ...(options.haltShare !== undefined && { halt_share: options.haltShare }),
    ...(options.again !== undefined && { again: options.again }),
  };
}

/** What makes two plans one: what is asked for, where it goes, and which rows are left out. */
function planHash(draft: PlanSource, { origin, force, again }: PlanOptions): string {
  return createHash('sha256')
    .update(JSON.stringify([origin, force, draft.asked(), ...(again === undefined ? [] : [again])]))
    .digest('hex');
}

/** What the rows were read from, where they are planned as they were read. */
function askedOf({ manifest, draft, asked }: Checked): Pick<Run, 'asked'> {
  if (!asked || manifest.retry || ('hasEmbedded' in draft && draft.hasEmbedded)) return {};
  return { asked: { hash: asked.hash, rows: draft.asked(), notes: manifest.notes } };
}

interface WholeDraft {
  draft: Draft | CarriedDraft;
  columns: string[];
}

/**
 * The rows of the whole manifest. A `failed.csv` of ours brings back some rows of the manifest before it: the others
 * stand in the report as they are.
 */
async function wholeDraft({ manifest, draft }: Checked, output: Output): Promise<WholeDraft> {
  if ('carriedFrom' in draft) return { draft, columns: manifest.columns };
  const own = draft.hasEmbedded ? await withFiles(draft, output) : draft;
  const whole = manifest.retry ? await mergedInto(own, output) : undefined;
  return whole ?? { draft: own, columns: manifest.columns };
}

async function mergedInto(again: Draft, output: Output): Promise<WholeDraft | undefined> {
  const latest = (await output.runs.list()).at(-1);
  if (latest === undefined) return undefined;
  const { columns } = await output.runs.read(latest);
  const mended = again.byId();
  const merged = createDraft();
  let found = 0;
  for await (const rows of output.runs.plan(latest)) {
    for (const { read } of rows) {
      const row = read();
      const better = mended(row.id);
      if (better) found += 1;
      merged.add(
        better
          ? { ...better, row: row.row, columns: { ...row.columns, ...better.columns } }
          : { ...row, selected: false },
      );
    }
  }
  return found === again.rows ? { draft: merged, columns } : undefined;
}

/** Pictures that stood in the manifest itself become files of the output, so that any worker can read them. */
async function withFiles(draft: Draft, output: Output): Promise<Draft> {
  const fileOf = async (picture: Picture): Promise<Picture> => {
    const sha256 = picture.kind === 'file' && /^embedded:(.+)$/.exec(picture.path)?.[1];
    const bytes = sha256 && draft.embedded(sha256);
    if (!bytes) return picture;
    const path = join(dirname(output.storage.spool), 'inputs', sha256);
    if (!(await output.storage.stat(`.reshoot/inputs/${sha256}`))) {
      await output.storage.write(`.reshoot/inputs/${sha256}`, bytes);
    }
    const { size, mtimeMs, ino } = await stat(path);
    return { kind: 'file', path, bytes: size, mtimeMs, ino };
  };
  const whole = createDraft();
  for (const row of draft.all()) {
    whole.add({ ...row, pictures: await Promise.all(row.pictures.map(fileOf)) });
  }
  return whole;
}
