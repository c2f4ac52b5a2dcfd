import { DelayedError, Worker as BullWorker, WaitingError, type Job as BullJob } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Log } from '../log.ts';
import { jobSchema, type Job } from './job.ts';
import { queueName, queuePrefix } from './queue.ts';

/** What became of a job. */
export type JobResult =
  | { is: 'done' }
  /** The call failed: another one, this much later, behind the rows that wait. */
  | { is: 'again'; afterMs: number }
  /** No call was made: somebody may take it, this much later. */
  | { is: 'handed back'; afterMs: number };

/** What is known of a job beside its data. */
export interface JobState {
  /** How often it was started by a process that then died or froze. */
  losses: number;
  /** Aborted when the job's lock is lost or the worker stops: don't send what is not yet sent. */
  signal: AbortSignal;
}

export interface QueueWorkerOptions {
  redis: Redis;
  namespace: string;
  concurrency: number;
  lockMs?: number | undefined;
  stalledMs?: number | undefined;
  log: Log;
  work: (job: Job, state: JobState) => Promise<JobResult>;
}

export interface QueueWorker {
  setConcurrency(calls: number): void;
  /** Takes no job for this long; those taken go on. */
  rest(ms: number): Promise<void>;
  /** Jobs taken and not yet ended. */
  busy(): number;
  /** Takes no further job, hands back what is not sent, waits for what is. */
  close(): Promise<void>;
}

class AgainError extends Error {
  override readonly name = 'AgainError';
  readonly afterMs: number;
  constructor(afterMs: number) {
    super('the call failed; another one follows');
    this.afterMs = afterMs;
  }
}

/** Translates between BullMQ's signals and ours; nobody else knows them. */
export function startQueueWorker(options: QueueWorkerOptions): QueueWorker {
  const { redis, namespace, log, work } = options;
  const running = new Map<string, Promise<JobResult>>();

  /** A second start of a row that still runs here, after a freeze longer than its lock, joins the first. */
  const joined = (id: string, job: BullJob, signal: AbortSignal): Promise<JobResult> => {
    const first = running.get(id);
    if (first) {
      log.info({ job: id }, 'started again while it runs here: joined');
      return first;
    }
    const started = work(jobSchema.parse(job.data), { losses: job.stalledCounter, signal });
    running.set(id, started);
    const over = (): boolean => running.delete(id);
    started.then(over, over);
    return started;
  };

  // Exactly three declared parameters, or BullMQ gives no signal.
  const processor = async (job: BullJob, token?: string, signal?: AbortSignal): Promise<void> => {
    const result = await joined(job.id ?? '', job, signal ?? new AbortController().signal);
    switch (result.is) {
      case 'done':
        return;
      case 'again':
        throw new AgainError(result.afterMs);
      case 'handed back':
        if (result.afterMs === 0) {
          await job.moveToWait(token);
          throw new WaitingError();
        }
        await job.moveToDelayed(Date.now() + result.afterMs, token);
        throw new DelayedError();
    }
  };

  const worker = new BullWorker(queueName, processor, {
    connection: redis,
    prefix: queuePrefix(namespace),
    concurrency: options.concurrency,
    lockDuration: options.lockMs ?? 30_000,
    stalledInterval: options.stalledMs ?? 15_000,
    // A stall says that a process died or froze, not that the row is bad: it never decides.
    maxStalledCount: 1000,
    settings: {
      backoffStrategy: (_made, _type, error) => (error instanceof AgainError ? error.afterMs : 1000),
    },
  });
  worker.on('error', (error) => log.debug({ error: error.message }, 'worker'));
  worker.on('lockRenewalFailed', (ids) => ids.forEach((id) => worker.cancelJob(id, 'lock lost')));
  worker.on('failed', (job, error) => {
    if (!(error instanceof AgainError)) log.error({ job: job?.id, error: error.stack }, 'job failed');
  });

  let resting: NodeJS.Timeout | undefined;

  return {
    setConcurrency(calls) {
      if (worker.concurrency !== calls) worker.concurrency = calls;
    },
    async rest(ms) {
      if (resting) return;
      resting = setTimeout(() => {
        resting = undefined;
        void worker.resume();
      }, ms);
      await worker.pause(true);
    },
    busy: () => running.size,
    async close() {
      clearTimeout(resting);
      const closed = worker.close();
      worker.cancelAllJobs('stopping');
      await closed;
    },
  };
}
