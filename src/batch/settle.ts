import { rm } from 'node:fs/promises';
import { codes, exitCodes, type EditError, type ErrorCode } from '../errors.ts';
import type { Row, Source } from '../model.ts';
import type { Desk } from '../queue/desk.ts';
import type { Job } from '../queue/job.ts';
import type { RowEnd } from '../queue/progress.ts';
import type { JobResult, JobState } from '../queue/worker.ts';
import { callId, isCopy, type Call } from '../records/call.ts';
import type { Note, Run } from '../records/runs.ts';
import type { RowRules, Verdict } from '../records/state.ts';
import type { Ledger } from '../throttle/ledger.ts';
import type { Throttle } from '../throttle/throttle.ts';
import { exists, outputName, putAside, spoolFiles } from './keep.ts';
import { newCopy } from './new-call.ts';
import type { Output } from './output.ts';
import type { Step } from './steps.ts';

export type RowJob = Extract<Job, { kind: 'row' }>;

/** What is known while a row is worked on. */
export interface Work {
  job: RowJob;
  output: Output;
  state: JobState;
  run: Run;
  row: Row;
  rules: RowRules;
  /** The row's calls, ascending, kept up to date. */
  calls: Call[];
  /** Other rows' calls for what it asks, which may have been paid. */
  after: Call['after'];
}

/** How rows end: on record, on the desk, and in what it means for their run. */
export interface Settler {
  /** The records have decided, by this or an earlier run's calls, or by those of a row that asked for the same. */
  byVerdict(work: Work, verdict: Exclude<Verdict, { is: 'due' }>, sources: Source[]): Promise<JobResult>;
  /** No call of this run decides it: why it ends so is kept beside the plan. */
  withNote(work: Work, note: Omit<Note, 'row'>): Promise<JobResult>;
  /** An error that no try mends. Nothing is known of the row but its place. */
  giveUp(job: RowJob, output: Output, error: EditError): Promise<JobResult>;
}

export interface SettlerOptions {
  throttle: Throttle;
  ledger: Ledger;
  desk: Desk;
  /** Told when a row's picture stands at its name. */
  onKept: (output: Output, row: Row, call: Call) => void;
  /** Told of each step when it is done. */
  onStep: ((step: Step) => void) | undefined;
}

export const done: JobResult = { is: 'done' };
/** A row in another process's hands is looked at again a little later. */
export const elsewhere: JobResult = { is: 'handed back', afterMs: 1000 };

/** Rows in a row with the same error that stop a run: a window's worth of them. */
const mostAlike = 30;
/** What is wrong with a picture, a prompt or a name says nothing of the next row's. */
const ownFaults: ReadonlySet<ErrorCode> = new Set([
  'content_refused',
  'unprocessable',
  'too_large',
  'input_too_large',
  'input_not_a_picture',
  'input_unfit',
  'output_taken',
]);

export function createSettler({ throttle, ledger, desk, onKept, onStep }: SettlerOptions): Settler {
  const byVerdict: Settler['byVerdict'] = async (work, verdict, sources) => {
    const { job, output, row } = work;
    const { call } = verdict;
    const isOwn = call.id === row.id;
    if (verdict.is === 'done') {
      onStep?.('kept');
      const picture = call.closed?.picture;
      if (isOwn || !picture) return settleDone(work, call, sources);
      return settleCopy(work, newCopy(work.run, row, work.calls, { payer: call, picture, sources }));
    }
    if (verdict.is === 'held' && call.on_unknown !== 'hold') await output.calls.hold(call);
    if (isOwn && call.run === job.run) return settleRow(work, verdict.is, verdict.code);
    await output.runs.note(job.run, {
      row: row.row,
      status: verdict.is,
      error_code: verdict.code,
      error_message: call.closed?.error_message ?? `${verdict.code}: ${codes[verdict.code].says}`,
      ...(!isOwn && { paid_by: call }),
      sources,
    });
    // An error of another row's, or of an earlier run, says nothing of how this run fares.
    return settleRow(work, verdict.is === 'failed' ? 'failed before' : verdict.is);
  };

  /** The row's own picture stands at its name: the spool lets go of it, and other pictures of the row give way. */
  const settleDone = async (work: Work, call: Call, sources: Source[]): Promise<JobResult> => {
    const { job, output, row } = work;
    const picture = call.closed?.picture;
    const name = picture && outputName(row, picture.ext);
    const { bin } = spoolFiles(output.storage, call);
    // Others look for it at the name its record tells: what was put at another one only stays in the spool.
    const isWhereTold =
      !picture ||
      name === picture.output ||
      ((await exists(bin)) && (await output.storage.hash(picture.output)) === picture.sha256);
    if (isWhereTold) await rm(bin, { force: true });
    for (const other of work.calls) if (other !== call) await putAside(output.storage, other);
    onKept(output, row, call);
    if (call.run === job.run) return settleRow(work, isCopy(call) ? 'skipped' : 'succeeded');
    return withNote(work, { status: 'skipped', paid_by: call, output: name, sources });
  };

  /** Another row's picture stands at the row's name. */
  const settleCopy = async (work: Work, copy: Call): Promise<JobResult> => {
    const { output, row } = work;
    if (!(await output.calls.open(copy))) return elsewhere;
    onKept(output, row, copy);
    return settleRow(work, 'skipped');
  };

  const withNote: Settler['withNote'] = async (work, note) => {
    await work.output.runs.note(work.job.run, { row: work.row.row, ...note });
    return settleRow(work, note.status, note.error_code);
  };

  /** Where a process was killed between slot and record, and no call is made after all, its credit comes back. */
  const dropNext = async ({ job, output, row, calls }: Work): Promise<void> => {
    const next = { id: row.id, n: (calls.at(-1)?.n ?? 0) + 1 };
    if (!(await throttle.isHeld(job.run, callId(next)))) return;
    // A process that slept over the row may have been overtaken.
    const story = await output.calls.story(row.id);
    if (!story.some((call) => call.n === next.n && !isCopy(call))) await throttle.drop(job.run, callId(next));
  };

  const settleRow = async (work: Work, end: RowEnd, code?: ErrorCode): Promise<JobResult> => {
    const { job, run, row } = work;
    await dropNext(work);
    const { succeeded, failed } = await desk.settle(job.run, row.row, end);
    onStep?.('settled');
    const finished = succeeded + failed;
    if (run.halt_share !== undefined && finished >= 20 && failed / finished >= run.halt_share) {
      await ledger.stop(job.run, exitCodes.halted, `${failed} of ${finished} finished rows failed (--halt)`);
    }
    if (end === 'succeeded' || ((end === 'failed' || end === 'held') && code && !ownFaults.has(code))) {
      const rows = await ledger.alike(job.run, code);
      if (code && rows >= mostAlike)
        await ledger.stop(
          job.run,
          exitCodes.halted,
          `${rows} rows in a row ended with the same error: ${code}`,
        );
    }
    return done;
  };

  const giveUp: Settler['giveUp'] = async (job, output, error) => {
    const { row } = job.place;
    const { code: error_code, message: error_message } = error;
    await output.runs.note(job.run, { row, status: 'failed', error_code, error_message, sources: [] });
    await desk.settle(job.run, row, 'failed');
    return done;
  };

  return { byVerdict, withNote, giveUp };
}
