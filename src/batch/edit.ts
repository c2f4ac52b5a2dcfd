import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { codes, EditError, exitCodes, SurroundingsError, toError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Row, Source } from '../model.ts';
import type { Owner } from '../owner.ts';
import type { Desk } from '../queue/desk.ts';
import type { JobResult, JobState } from '../queue/worker.ts';
import { callId, chargeOf, type Call } from '../records/call.ts';
import type { Taker } from '../records/content.ts';
import { fingerprint, knownSources } from '../records/fingerprint.ts';
import type { Run } from '../records/runs.ts';
import { backoffMs, judge, type Due, type RowRules, type Verdict } from '../records/state.ts';
import type { Ledger } from '../throttle/ledger.ts';
import type { DayCap, NoSlot, Slot, Throttle } from '../throttle/throttle.ts';
import type { Caller } from './call.ts';
import { createCatchUp } from './catch-up.ts';
import { dayBegan, dayEnds } from './day.ts';
import { pictureRulesOf, type Input, type InputReader } from './input.ts';
import { place } from './keep.ts';
import { newCall } from './new-call.ts';
import type { Output } from './output.ts';
import { expectRoom } from './room.ts';
import { createSettler, done, elsewhere, type RowJob, type Work } from './settle.ts';
import type { Step } from './steps.ts';
import { createWaitingLine } from './waiting-line.ts';

export interface EditorOptions {
  origin: string;
  caller: Caller;
  throttle: Throttle;
  ledger: Ledger;
  desk: Desk;
  inputs: InputReader;
  /** May the process that opened a call still live, as far as anybody knows? */
  lives: (owner: Owner) => boolean;
  /** Does another process that may work on the run have an account that isn't parked, with room in its day? */
  othersMayWork: (run: Run, day: DayCap | undefined) => Promise<boolean>;
  /** Told when a row's picture stands at its name. */
  onKept: (output: Output, row: Row, call: Call) => void;
  /** Told of each step when it is done. */
  onStep?: ((step: Step) => void) | undefined;
  /** That each call in flight must find room for; for tests of a full disk. */
  answerBytes?: number | undefined;
  /** In [0, 1). */
  random: () => number;
  log: Log;
}

export type Editor = (job: RowJob, output: Output, state: JobState) => Promise<JobResult>;

/** A run that loses this many starts of a row to dying processes gives the row up. */
const mostLosses = 10;
/** Unexpected errors over a row after which it is given up. */
const mostFaults = 5;
/** While calls are in flight, which may free a parked account, it is asked again this much later. */
const parkedMs = 1000;

/** Names a row over all runs. */
const nameOf = ({ run, place }: RowJob): string => `${run}.${place.row}`;

/**
 * Takes a row one call further: from what its records say to a picture at its name, or to the next try. Everything it
 * decides is read from the records, so it may be started anywhere, any number of times.
 */
export function createEditor(options: EditorOptions): Editor {
  const { origin, caller, throttle, ledger, desk, inputs, random, log } = options;
  const { onStep, onKept } = options;
  const step = (name: Step): void => onStep?.(name);
  const faults = new Map<string, number>();
  const inFlight = new Set<string>();
  const line = createWaitingLine();
  const catchUp = createCatchUp({ caller, throttle, lives: options.lives, log }, inFlight);
  const settle = createSettler({ throttle, ledger, desk, onKept, onStep });

  const edit: Editor = async (job, output, state) => {
    const run = await output.runs.read(job.run);
    const row = await output.runs.row(job.run, job.place);
    const calls = await catchUp(job.run, row.id, output, row);
    if (!calls) return elsewhere;
    const work: Work = { job, output, state, run, row, rules: rulesOf(run), calls, after: undefined };
    if (state.losses >= mostLosses) {
      return settle.withNote(work, {
        status: 'failed',
        error_code: 'worker_lost',
        error_message: lostMessage,
        sources: [],
      });
    }
    const known =
      knownSources(row.pictures, [...calls, ...line.leave(nameOf(job))]) ??
      (await output.sightings.of(row.pictures));
    const decided = known && (await decideOrTake(work, fingerprint(origin, row, known), known));
    if (decided && 'is' in decided) return decided;
    step('looked up');
    return readAndCall(work);
  };

  const readAndCall = async (work: Work): Promise<JobResult> => {
    let input: Input;
    try {
      input = await inputs.read(work.row, pictureRulesOf(work.run));
    } catch (error) {
      if (!(error instanceof EditError)) throw error;
      return settle.withNote(work, {
        status: 'failed',
        error_code: error.code,
        error_message: error.message,
        sources: [],
      });
    }
    try {
      step('read');
      const paid = fingerprint(origin, work.row, input.sources);
      await work.output.sightings.note(input.sources);
      return await callUntilDecided(work, paid, input);
    } finally {
      input.release();
    }
  };

  /**
   * Settles a row that needs no call. Rows that ask for the same are one piece of work: who takes it on sends it, the
   * others wait for that row's end and share it.
   * @returns what this row, which has taken it on, is due to send; or what became of it without that
   */
  const decideOrTake = async (work: Work, paid: string, sources: Source[]): Promise<Due | JobResult> => {
    const { job, output, row } = work;
    for (;;) {
      const own = await judged(work, paid);
      if (own.is === 'done') return settle.byVerdict(work, own, sources);
      // Before the records are read: who is settled makes no further call.
      const isSettled = await desk.settled(job.run);
      const takers = await output.contents.takers(paid);
      const { id, run, row: taken = 0 } = takers.at(-1) ?? {};
      const isOwn = run === job.run && id === row.id;
      const isAtIt = run === job.run && !isOwn && !isSettled(taken);
      const others = await callsOfOthers(work, takers, isAtIt ? id : undefined);
      const theirs = others && (await judged(work, paid, others));
      const taker = { id: row.id, run: job.run, row: row.row };
      if (theirs?.is === 'done') {
        // Those rows may have left the manifest, and their pictures the output: one of each run is found instead.
        if (run !== job.run) await output.contents.take(paid, taker, takers.length);
        return settle.byVerdict(work, theirs, sources);
      }
      if (own.is !== 'due') return settle.byVerdict(work, own, sources);
      if (isAtIt || !theirs) return line.wait(nameOf(job), sources);
      if (theirs.is !== 'due') return settle.byVerdict(work, theirs, sources);
      if (isOwn || (await output.contents.take(paid, taker, takers.length))) {
        work.after = lost(others, paid);
        return own.due;
      }
    }
  };

  /**
   * Is it still for this row to send what it took on? Asked when its record is open: of two processes that both took it
   * on, since one was asleep meanwhile, at least one sees the other's.
   * @param n the call that is about to be sent
   */
  const isStillDue = async (work: Work, paid: string, n: number): Promise<boolean> => {
    const { job, output, row, after } = work;
    if (await hasEndedLate(work, n)) return false;
    const takers = await output.contents.takers(paid);
    const last = takers.at(-1);
    if (last?.run !== job.run || last.id !== row.id) return false;
    const others = await callsOfOthers(work, takers, undefined);
    if (!others || (await judged(work, paid, others)).is === 'done') return false;
    return isDeepStrictEqual(lost(others, paid), after);
  };

  /** Who slept over an earlier call of the row was taken for dead: has it brought the picture after all? */
  const hasEndedLate = async (work: Work, n: number): Promise<boolean> => {
    const open = new Set(work.calls.flatMap((call) => (call.closed ? [] : [call.n])));
    if (open.size === 0) return false;
    const story = (await work.output.calls.story(work.row.id)).filter((call) => call.n < n);
    if (!story.some((call) => open.has(call.n) && call.closed?.picture)) return false;
    work.calls = story;
    return true;
  };

  /**
   * The calls of other rows that took the same on, by time, with what dead processes left cleared up, but for the row
   * that is at it and does so itself. Undefined: a living process has one of them in flight.
   */
  const callsOfOthers = async (
    { job, output, row }: Work,
    takers: Partial<Taker>[],
    atIt: string | undefined,
  ): Promise<Call[] | undefined> => {
    const ids = new Set(takers.flatMap(({ id }) => (id === undefined || id === row.id ? [] : [id])));
    const calls: Call[] = [];
    for (const id of ids) {
      const story = id === atIt ? await output.calls.story(id) : await catchUp(job.run, id, output, row);
      if (!story) return undefined;
      calls.push(...story);
    }
    return calls.sort((a, b) => Date.parse(a.started_at) - Date.parse(b.started_at));
  };

  const callUntilDecided = async (work: Work, paid: string, input: Input): Promise<JobResult> => {
    for (let free = 0; ;) {
      const due = await decideOrTake(work, paid, input.sources);
      if ('is' in due) return due;
      const slot = await takeSlot(work, due);
      if ('is' in slot) return slot;
      step('slot taken');
      const call = await callOn(slot, work, due, paid, input);
      if (!call) {
        // Somebody else opened this very call, so the slot is theirs now: also where they have ended it already.
        await catchUp(work.job.run, work.row.id, work.output, work.row);
        return elsewhere;
      }
      work.calls.push(call);
      step('record closed');
      const code = call.closed?.error_code;
      const ended = { id: work.row.id, ms: call.closed?.ms ?? 0, code };
      desk
        .noteCall(work.run.run, ended)
        .catch((error: unknown) => log.debug({ error: String(error) }, 'not noted'));
      // Who slept over its call was taken for dead, and the row went on without it: all its calls decide.
      const isOvertaken = (await work.output.calls.story(work.row.id)).some(({ n }) => n > call.n);
      if (isOvertaken) return elsewhere;
      const disposition = code && codes[code].disposition;
      if (disposition === 'retry') {
        // The last attempt has nothing to wait for.
        const next = await judged(work, paid);
        if (next.is === 'due') return { is: 'again', afterMs: backoffMs(next.due.attempt, random()) };
      }
      if (disposition === 'retry-same') {
        free += 1;
        // A slot that grew too old is taken again at once; what keeps failing waits.
        if (code === 'not_sent' && free === 1) continue;
        await sleep(backoffMs(free + 1, random()), undefined, { signal: work.state.signal });
      }
    }
  };

  /** @returns the closed call; undefined: its record stands already */
  const callOn = async (
    slot: Slot,
    work: Work,
    due: Due,
    paid: string,
    input: Input,
  ): Promise<Call | undefined> => {
    const { run, output, row, state } = work;
    inFlight.add(slot.call);
    try {
      await expectRoomFor(output, slot);
      const call = await open(work, due, slot, paid, input);
      if (!call) return undefined;
      step('record opened');
      const { timeout_ms: timeoutMs } = run;
      const isDue = (): Promise<boolean> => isStillDue(work, paid, call.n);
      return await caller.make({ output, row, call, isDue, slot, input, timeoutMs, signal: state.signal });
    } finally {
      inFlight.delete(slot.call);
    }
  };

  /** @throws SurroundingsError where an answer might find no room: slot and credit are given back */
  const expectRoomFor = async ({ storage }: Output, slot: Slot): Promise<void> => {
    try {
      await expectRoom(storage.spool, inFlight.size, options.answerBytes);
    } catch (error) {
      await throttle.giveBack(slot);
      throw error;
    }
  };

  /** The row's verdict by these calls; a picture that somebody has deleted doesn't count as done. */
  const judged = async (work: Work, paid: string, others?: Call[]): Promise<Verdict> => {
    const { job, output, row, rules } = work;
    let left = others ?? work.calls;
    for (;;) {
      const verdict = judge(row.route, left, paid, rules);
      const picture = verdict.is === 'done' ? verdict.call.closed?.picture : undefined;
      if (verdict.is !== 'done' || !picture) return verdict;
      // Who slept over the row, or over the run, must not put its picture in the place of a newer one.
      if (await output.runs.end(job.run)) throw new RunIsOver();
      const story = await output.calls.story(row.id);
      if (story.length > work.calls.length) {
        work.calls = story;
        left = others ?? story;
        continue;
      }
      if (await place(output.storage, verdict.call, picture, row, work.calls)) return verdict;
      left = left.with(left.indexOf(verdict.call), { ...verdict.call, fingerprint: '' });
    }
  };

  const takeSlot = async (work: Work, due: Due): Promise<Slot | JobResult> => {
    const { job, row, run, state } = work;
    const day = dayCapOf(run);
    for (;;) {
      const call = callId({ id: row.id, n: due.n });
      const got = await throttle.take(job.run, call, due.extra, state.signal, day);
      if (!('none' in got)) return got;
      if (got.none !== 'parked meanwhile' || (await options.othersMayWork(run, day)))
        return leaveLine(work, got, due);
      await sleep(parkedMs, undefined, { signal: state.signal });
    }
  };

  /** The row is the feeder's again: it settles a stopped run's rows, and feeds a paused run's when it goes on. */
  const leaveLine = async (work: Work, got: NoSlot, { n }: Due): Promise<JobResult> => {
    const { job, run, output, row } = work;
    switch (got.none) {
      case 'on record': {
        const story = await catchUp(job.run, row.id, output, row);
        // Somebody has deleted the record of a call that may have been paid.
        if (story && !story.some((call) => call.n === n)) {
          const slot = { run: job.run, call: callId({ id: row.id, n }), account: got.account };
          await throttle.settle(slot, {
            charged: 'unknown',
            unusable: undefined,
            answered: false,
            sent: true,
          });
        }
        return elsewhere;
      }
      case 'yield':
        return { is: 'handed back', afterMs: got.waitMs };
      case 'cap':
        await ledger.stop(job.run, exitCodes.budget, `the cap of ${run.max_credits} credits is reached`);
        return done;
      case 'budget':
        await ledger.stop(
          job.run,
          exitCodes.budget,
          `the retry budget of ${run.retry_budget} extra calls is used up`,
        );
        return done;
      case 'day':
        if (await options.othersMayWork(run, dayCapOf(run))) return { is: 'handed back', afterMs: 0 };
        await ledger.stop(job.run, exitCodes.budget, dayReason(run));
        return done;
      case 'parked meanwhile':
        return { is: 'handed back', afterMs: 0 };
      case 'parked':
        if (await options.othersMayWork(run, dayCapOf(run))) return { is: 'handed back', afterMs: 0 };
        await ledger.stop(job.run, exitCodes.account, `no account may work: ${got.reasons}`);
        return done;
      case 'paused':
      case 'cancelled':
      case 'stopped':
        return done;
    }
  };

  const open = async (
    work: Work,
    due: Due,
    slot: Slot,
    paid: string,
    input: Input,
  ): Promise<Call | undefined> => {
    const { run, row, output, after } = work;
    const { sources, changes } = input;
    const asked = { ...due, account: slot.account, origin, fingerprint: paid, sources, changes, after };
    const call = newCall(run, row, asked);
    return (await output.calls.open(call)) ? call : undefined;
  };

  return async (job, output, state) => {
    try {
      return await edit(job, output, state);
    } catch (error) {
      if (error instanceof RunIsOver) return done;
      // Aborted while it waited: nothing of it is in flight, so anybody may take it.
      if (state.signal.aborted && !(error instanceof EditError)) return { is: 'handed back', afterMs: 0 };
      if (error instanceof EditError && error.code === 'output_taken')
        return settle.giveUp(job, output, error);
      if (isSurroundings(error) || !isFinal(job)) throw error;
      return settle.giveUp(job, output, new EditError('bug', toError(error).message, { cause: error }));
    }
  };

  /** Counts a row's unexpected errors in this process: one that never goes away must not keep the run from ending. */
  function isFinal(job: RowJob): boolean {
    const id = nameOf(job);
    const times = (faults.get(id) ?? 0) + 1;
    faults.set(id, times);
    return times >= mostFaults;
  }
}

/** Another process has ended the run while this one slept. */
class RunIsOver extends Error {}

/** Those that may have been paid for this, by name. */
function lost(calls: Call[], paid: string): { id: string; n: number }[] {
  return calls
    .filter((call) => call.fingerprint === paid && chargeOf(call) === 'unknown')
    .map(({ id, n }) => ({ id, n }));
}

const lostMessage = `worker_lost: the row was started ${mostLosses} times by processes that died over it`;

/** Disk or Redis: no row's fault. */
function isSurroundings(error: unknown): boolean {
  return error instanceof SurroundingsError || (error instanceof Error && error.name === 'ReplyError');
}

function dayCapOf({ max_credits_per_day: credits, time_zone: zone = 'UTC' }: Run): DayCap | undefined {
  return credits === undefined ? undefined : { credits, began: () => dayBegan(Date.now(), zone) };
}

function dayReason({ max_credits_per_day: credits, time_zone: zone = 'UTC' }: Run): string {
  const next = new Date(dayEnds(Date.now(), zone)).toISOString();
  return `the accounts have spent their ${credits} credits of this day; the next begins at ${next}`;
}

/** What a run's options say about its rows. */
export function rulesOf(run: Run): RowRules {
  const { max_attempts: maxAttempts, on_unknown: onUnknown, force, again } = run;
  return { run: run.run, maxAttempts, onUnknown, force, again: again !== undefined };
}
