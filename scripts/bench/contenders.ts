import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from './measure.ts';

/** The same work for every contender: a picture a row of the manifest, into a folder. */
interface Job {
  /** The job's own; pictures go to `out` below it. */
  folder: string;
  /** A CSV with id, image, prompt, size. */
  manifest: string;
  apiUrl: string;
  /** Empty: reshoot starts its private one. */
  redisUrl: string;
  limit: number;
  windowMs: number;
  /** Calls at the same time; reshoot is left to find its own where it is absent. */
  atOnce?: number;
}

/** A program that does a job. */
export interface Contender {
  name: string;
  /** Does it work with a Redis? */
  redis: boolean;
  command(job: Job): Command;
}

/** So many calls at the same time a contender makes that can't find it out: the API's limit. */
const usualAtOnce = 30;

const bin = fileURLToPath(new URL('../../dist/src/bin.js', import.meta.url));

export const reshoot: Contender = {
  name: 'reshoot',
  redis: true,
  command: (job) => ({
    args: [
      process.execPath,
      bin,
      'run',
      job.manifest,
      '-o',
      join(job.folder, 'out'),
      '--concurrency',
      String(job.atOnce ?? 'auto'),
    ],
    env: {
      SPIDERHUBS_BASE_URL: job.apiUrl,
      SPIDERHUBS_API_KEY: 'sk_live_bench',
      REDIS_URL: job.redisUrl,
      RESHOOT_STATE_DIR: join(job.folder, 'state'),
      RESHOOT_RATE_LIMIT: String(job.limit),
      RESHOOT_RATE_WINDOW: `${job.windowMs}ms`,
    },
    cwd: job.folder,
  }),
};

const baseline = (name: string, file: string, redis: boolean): Contender => ({
  name,
  redis,
  command: (job) => ({
    args: [
      ...(file.endsWith('.sh') ? ['bash'] : [process.execPath]),
      fileURLToPath(new URL(`baselines/${file}`, import.meta.url)),
      job.manifest,
      join(job.folder, 'out'),
    ],
    env: {
      API_URL: job.apiUrl,
      API_KEY: 'sk_live_bench',
      REDIS_URL: job.redisUrl,
      LIMIT: String(job.limit),
      WINDOW_MS: String(job.windowMs),
      CONCURRENCY: String(job.atOnce ?? usualAtOnce),
    },
    cwd: job.folder,
  }),
});

export const bullmq = baseline('BullMQ 30/60 s', 'bullmq-30-60.js', true);
const bullmqEven = baseline('BullMQ 1/2 s', 'bullmq-1-2.js', true);
export const script = baseline('p-limit + fetch', 'p-limit-fetch.js', false);
const bottleneck = baseline('Bottleneck', 'bottleneck-redis.js', true);
export const parallel = baseline('parallel + curl', 'parallel-curl.sh', false);
/** Each byte once; see its source. */
export const floor = baseline('floor', 'floor.js', false);

/** All that keep the limit in some way, in the order of every table. */
export const contenders = [reshoot, bullmq, bullmqEven, bottleneck, script, parallel];

/** The column of the one table that is no contender's. */
export const physical = 'physical limit';
