import { Queue as BullQueue, type JobType } from 'bullmq';
import type { Redis } from 'ioredis';
import type { Log } from '../log.ts';
import { withDeadline } from './connect.ts';
import { isFinish, jobId, runOf, type Job } from './job.ts';

export const queueName = 'edit';
export const queuePrefix = (namespace: string): string => `{${namespace}}`;

/** Work in the queue, as the feeder sees it. */
export interface JobQueue {
  /** Adds jobs at the tail; one that is there already, in whatever state, is left alone. */
  add(jobs: Job[]): Promise<void>;
  /** How many jobs of each run wait for a worker or for their time. */
  waiting(): Promise<Map<string, number>>;
  /** Rows of a run that some worker has taken and not yet ended, as job ids. */
  active(run: string): Promise<Set<string>>;
  /** Has the run any job, in any state? */
  hasJobs(run: string): Promise<boolean>;
  /** Takes back the run's rows that no worker has, and where asked the job that ends it. */
  withdraw(run: string, andFinish: boolean): Promise<void>;
  close(): Promise<void>;
}

const untaken: JobType[] = ['waiting', 'delayed'];

export function createQueue(redis: Redis, namespace: string, log: Log): JobQueue {
  const queue = new BullQueue(queueName, { connection: redis, prefix: queuePrefix(namespace) });
  queue.on('error', (error) => log.debug({ error: error.message }, 'queue'));
  const ids = (types: JobType[]): Promise<string[]> => queue.getRanges(types, 0, -1);

  return {
    async add(jobs) {
      // 100 never decides anything: how often a row is tried is read from its records.
      const opts = { attempts: 100, backoff: { type: 'custom' }, removeOnComplete: true, removeOnFail: true };
      await queue.addBulk(
        jobs.map((data) => ({ name: data.kind, data, opts: { ...opts, jobId: jobId(data) } })),
      );
    },
    async waiting() {
      const counts = new Map<string, number>();
      for (const id of await ids(untaken)) counts.set(runOf(id), (counts.get(runOf(id)) ?? 0) + 1);
      return counts;
    },
    async active(run) {
      return new Set((await ids(['active'])).filter((id) => runOf(id) === run));
    },
    async hasJobs(run) {
      return (await ids([...untaken, 'active'])).some((id) => runOf(id) === run);
    },
    async withdraw(run, andFinish) {
      const own = (await ids(untaken)).filter((id) => runOf(id) === run);
      for (const id of own) if (andFinish || !isFinish(id)) await queue.remove(id);
    },
    close: () => withDeadline(queue.close(), 5000).catch(() => undefined),
  };
}
