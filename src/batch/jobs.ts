import { SurroundingsError, toError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Job } from '../queue/job.ts';
import type { JobResult, JobState } from '../queue/worker.ts';
import type { Desks } from './desks.ts';
import type { Editor } from './edit.ts';
import { withEither } from './either.ts';
import { finishRun } from './finish.ts';
import type { Output } from './output.ts';
import type { Outputs } from './outputs.ts';

/** What this process does with the queue's jobs. */
export interface Jobs {
  /** Sees to a job: a row is edited, a run whose rows are all settled is finished. */
  work(job: Job, state: JobState): Promise<JobResult>;
  /** The run that this process is there for: where its output fails there is nothing left to do here. */
  own(run: string): void;
  /** No further call is made here for other runs than this one. */
  keepTo(run: string): void;
  /** The run of `keepTo`. */
  only(): string | undefined;
  /** Runs that were given up here, since their outputs fail. */
  aside: ReadonlySet<string>;
  /** Why the own run was given up: the disk or the decoder failed. No further call is made here. */
  fault(): Error | undefined;
}

export interface JobsOptions extends Pick<Desks, 'desk' | 'ledger'> {
  outputs: Outputs;
  edit: Editor;
  log: Log;
}

/** A job that can't be done here right now. */
const againMs = 1000;
/** A job of a run that was given up here is there for others. */
const asideMs = 10_000;

export function createJobs({ desk, ledger, outputs, edit, log }: JobsOptions): Jobs {
  const aside = new Set<string>();
  const leaving = new AbortController();
  let [ownRun, onlyRun]: (string | undefined)[] = [];
  let fault: Error | undefined;

  const finish = async (run: string, output: Output): Promise<JobResult> => {
    const { rows } = await output.runs.read(run);
    const { settled, ...ends } = await desk.progress(run);
    const known = await ledger.state(run);
    if (!(await output.runs.end(run))) {
      // A job that a killed process left behind, of a run that has since been taken up again.
      if (settled < rows) return { is: 'done' };
      const ended = Object.values(ends).reduce((sum, count) => sum + count, 0);
      if (ended < settled && !known?.stop) {
        // Redis lost why it was stopped, right before its rows were settled for that: they are fed once more.
        await desk.forget(run);
        return { is: 'done' };
      }
    }
    await finishRun(output, run, known?.stop).catch((error: unknown) => {
      const message = `the report of run ${run} can't be made: ${toError(error).message}`;
      throw new SurroundingsError(message, { cause: error });
    });
    await desk.finish(run, (await output.runs.end(run))?.summary ?? {});
    await ledger.remove(run);
    return { is: 'done' };
  };

  const workOn = async (job: Job, state: JobState): Promise<JobResult> => {
    const output = await outputs.find(job);
    if (!output || fault) return { is: 'handed back', afterMs: againMs };
    if (aside.has(job.run)) return { is: 'handed back', afterMs: asideMs };
    // A run that is over, or that another plan has replaced, of which a dead process still held a job.
    if (!(await desk.has(job.run))) return { is: 'done' };
    if (job.kind === 'finish') return finish(job.run, output);
    if (await output.runs.end(job.run)) {
      // Redis came back with what it knew before the run ended: the feeder winds it up.
      await ledger.cancel(job.run);
      return { is: 'done' };
    }
    if (onlyRun !== undefined && job.run !== onlyRun) return { is: 'handed back', afterMs: againMs };
    if (job.run === onlyRun) return edit(job, output, state);
    return withEither(state.signal, leaving.signal, (signal) => edit(job, output, { ...state, signal }));
  };

  return {
    async work(job, state) {
      try {
        return await workOn(job, state);
      } catch (error) {
        if (!(error instanceof SurroundingsError)) throw error;
        // Trying again would lose paid answers, or make a report that can't be made: somebody must mend it first.
        aside.add(job.run);
        if (job.run === ownRun) fault ??= error;
        log.error({ run: job.run, error: error.message }, 'no further call of this run is made here');
        return { is: 'handed back', afterMs: asideMs };
      }
    },
    own(run) {
      ownRun = run;
    },
    keepTo(run) {
      onlyRun = run;
      leaving.abort(new Error('this process makes calls for its own run only'));
    },
    only: () => onlyRun,
    aside,
    fault: () => fault,
  };
}
