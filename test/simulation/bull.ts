import type { Job as RowJob } from '../../src/queue/job.ts';
import type { Client, JobData } from './redis.ts';
import { world } from './stage.ts';

/** BullMQ as far as `src/queue/` uses it: locks that expire, jobs that stall, and nothing that a real one would not do. */

interface JobOptions {
  jobId: string;
}

export class WaitingError extends Error {}
export class DelayedError extends Error {}

export class Queue {
  readonly #redis: Client;
  constructor(_name: string, { connection }: { connection: Client }) {
    this.#redis = connection;
  }
  on(): void {}
  addBulk(added: { data: RowJob; opts: JobOptions }[]): Promise<void> {
    return this.#redis.command('add jobs', () => {
      const { redis } = world();
      for (const { data, opts } of added) {
        const fresh = { state: 'waiting', dueAt: 0, token: '', lockedUntil: 0, stalled: 0 } as const;
        if (!redis.data.jobs.has(opts.jobId))
          redis.data.jobs.set(opts.jobId, { id: opts.jobId, job: structuredClone(data), ...fresh });
      }
      redis.changed();
    });
  }
  getRanges(types: string[]): Promise<string[]> {
    return this.#redis.command('get jobs', () =>
      [...world().redis.data.jobs.values()].filter(({ state }) => types.includes(state)).map(({ id }) => id),
    );
  }
  remove(id: string): Promise<void> {
    return this.#redis.command('remove job', () => {
      const { jobs } = world().redis.data;
      // A job that is locked can't be removed.
      if (jobs.get(id)?.state !== 'active') jobs.delete(id);
    });
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

interface WorkerOptions {
  connection: Client;
  concurrency: number;
  lockDuration: number;
  stalledInterval: number;
  settings: { backoffStrategy: (made: number, type: string, error: Error) => number };
}

interface Taken {
  id: string;
  data: RowJob;
  stalledCounter: number;
  moveToWait: (token: string) => Promise<void>;
  moveToDelayed: (at: number, token: string) => Promise<void>;
}

type Processor = (job: Taken, token: string, signal: AbortSignal) => Promise<void>;

let tokens = 0;

export class Worker {
  concurrency: number;
  readonly #process: Processor;
  readonly #options: WorkerOptions;
  readonly #running = new Map<string, { id: string; abort: AbortController }>();
  readonly #heard = new Map<string, (...args: unknown[]) => void>();
  #isPaused = false;
  #isClosing = false;
  #isFetching = false;

  constructor(_name: string, process: Processor, options: WorkerOptions) {
    this.#process = process;
    this.#options = options;
    this.concurrency = options.concurrency;
    const { sim, redis } = world();
    const me = sim.current;
    redis.onChange(() => {
      if (me && !me.dead) this.#fetchSoon();
    });
    this.#fetchSoon();
    void this.#repeat(options.lockDuration / 2, () => this.#renew());
    void this.#repeat(options.stalledInterval, () => this.#findStalled());
  }

  on(event: string, told: (...args: never[]) => void): void {
    this.#heard.set(event, told as (...args: unknown[]) => void);
  }
  cancelJob(id: string, reason: string): void {
    for (const job of this.#running.values()) if (job.id === id) job.abort.abort(new Error(reason));
  }
  cancelAllJobs(reason: string): void {
    for (const { abort } of this.#running.values()) abort.abort(new Error(reason));
  }
  pause(): Promise<void> {
    this.#isPaused = true;
    return Promise.resolve();
  }
  resume(): void {
    this.#isPaused = false;
    this.#fetchSoon();
  }
  async close(): Promise<void> {
    this.#isClosing = true;
    while (this.#running.size > 0) await world().sim.wait(50);
  }

  async #repeat(ms: number, work: () => Promise<void>): Promise<void> {
    while (!this.#isClosing || this.#running.size > 0) {
      await world().sim.wait(ms);
      await work();
    }
  }

  #fetchSoon(): void {
    const { sim } = world();
    if (this.#isFetching || this.#isPaused || this.#isClosing || this.#running.size >= this.concurrency)
      return;
    this.#isFetching = true;
    const me = this.#options.connection.process;
    sim.after(me, sim.between(1, 10), () => void this.#fetch());
  }

  async #fetch(): Promise<void> {
    const token = `t${(tokens += 1)}`;
    const job = await this.#options.connection.command('take a job', () => {
      const { redis, sim } = world();
      const due = [...redis.data.jobs.values()].find(
        ({ state, dueAt }) => state === 'waiting' || (state === 'delayed' && dueAt <= sim.now),
      );
      if (!due) return undefined;
      Object.assign(due, { state: 'active', token, lockedUntil: sim.now + this.#options.lockDuration });
      // At the tail it was, at the tail it will be put.
      redis.data.jobs.delete(due.id);
      redis.data.jobs.set(due.id, due);
      sim.note(`takes job ${due.id.slice(-8)}`);
      return structuredClone(due);
    });
    this.#isFetching = false;
    if (!job) return;
    void this.#work(job, token);
    this.#fetchSoon();
  }

  async #work({ id, job, stalled }: JobData, token: string): Promise<void> {
    const abort = new AbortController();
    this.#running.set(token, { id, abort });
    const taken: Taken = {
      id,
      data: job,
      stalledCounter: stalled,
      moveToWait: () => this.#put(id, token, 0),
      moveToDelayed: (at) => this.#put(id, token, at - Date.now()),
    };
    const error = await this.#process(taken, token, abort.signal).then(
      () => undefined,
      (reason: unknown) => reason as Error,
    );
    const isMoved = error instanceof WaitingError || error instanceof DelayedError;
    if (!isMoved) await this.#leave(id, token, error).catch(() => undefined);
    if (error) this.#heard.get('failed')?.(taken, error);
    this.#running.delete(token);
    this.#fetchSoon();
  }

  async #leave(id: string, token: string, error: Error | undefined): Promise<void> {
    if (error) return this.#put(id, token, this.#options.settings.backoffStrategy(1, 'custom', error));
    await this.#options.connection.command('end a job', () => {
      const { jobs } = world().redis.data;
      if (jobs.get(id)?.token === token) jobs.delete(id);
      else throw new Error(`Missing lock for job ${id}`);
    });
  }

  #put(id: string, token: string, afterMs: number): Promise<void> {
    return this.#options.connection.command('put a job back', () => {
      const { redis, sim } = world();
      const job = redis.data.jobs.get(id);
      // Asked once more by a connection that broke: it is done.
      if (job?.state !== 'active' || job.token !== token) throw new Error(`Missing lock for job ${id}`);
      Object.assign(job, { state: afterMs > 0 ? 'delayed' : 'waiting', dueAt: sim.now + afterMs, token: '' });
      redis.data.jobs.delete(id);
      redis.data.jobs.set(id, job);
      sim.after(undefined, Math.max(0, afterMs), () => redis.changed());
    });
  }

  async #renew(): Promise<void> {
    const all = [...this.#running];
    if (all.length === 0) return;
    const lost = await this.#options.connection.command('renew locks', () => {
      const { redis, sim } = world();
      return all.flatMap(([token, { id }]) => {
        const job = redis.data.jobs.get(id);
        if (job?.state !== 'active' || job.token !== token) return id;
        job.lockedUntil = sim.now + this.#options.lockDuration;
        return [];
      });
    });
    if (lost.length > 0) this.#heard.get('lockRenewalFailed')?.(lost);
  }

  async #findStalled(): Promise<void> {
    await this.#options.connection.command('find stalled jobs', () => {
      const { redis, sim } = world();
      for (const job of redis.data.jobs.values()) {
        if (job.state !== 'active' || job.lockedUntil > sim.now) continue;
        sim.note(`finds job ${job.id.slice(-8)} stalled`);
        Object.assign(job, { state: 'waiting', token: '', stalled: job.stalled + 1 });
      }
      redis.changed();
    });
    this.#fetchSoon();
  }
}
