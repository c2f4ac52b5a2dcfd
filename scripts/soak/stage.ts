import type { ChildProcess } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import sharp from 'sharp';
import { allFaults } from './faults.ts';
import {
  startRedis,
  startSimulator,
  startWorker,
  stopped,
  type SimulatorProcess,
  type WorkerProcess,
} from './processes.ts';

/** Both are shorter than a real day's, so that as many calls fit into half an hour. */
const windowMs = 6000;
/** The jitter of delivery does not shrink with the window, so the guard is a real day's and stands beside it. */
const guardMs = 500;
const latency = '200ms-1s';

/** All that a day needs, each a process of its own. */
export interface Stage {
  /** For commands. */
  env: NodeJS.ProcessEnv;
  /** Calls in a window, and the window. */
  rate: string;
  faults: string;
  redis: Redis;
  simulator: SimulatorProcess;
  worker: WorkerProcess;
  /** Ends whatever still runs. */
  close(): Promise<void>;
}

/** @param callsAMinute that the limit lets through */
export async function setStage(dir: string, callsAMinute: number): Promise<Stage> {
  const limit = String(Math.ceil((callsAMinute / 60_000) * windowMs));
  const window = `${windowMs + guardMs}ms`;
  const faults = allFaults();
  const children: ChildProcess[] = [];
  const started = <T extends { child: ChildProcess }>(one: T): T => {
    children.unshift(one.child);
    return one;
  };
  const close = async (): Promise<void> => {
    for (const child of children) await stopped(child);
  };
  try {
    await mkdir(join(dir, 'redis'));
    await writeFile(join(dir, 'product.png'), await product());
    const { url, redis } = started(await startRedis(join(dir, 'redis')));
    const simulator = started(await startSimulator(dir, { latency, window: `${windowMs}ms`, limit, faults }));
    const env = {
      PATH: process.env['PATH'],
      HOME: dir,
      REDIS_URL: url,
      RESHOOT_STATE_DIR: join(dir, 'state'),
      RESHOOT_RATE_LIMIT: limit,
      RESHOOT_RATE_WINDOW: window,
      RESHOOT_LOG_LEVEL: 'error',
      SPIDERHUBS_API_KEY: 'sk_live_soak',
      SPIDERHUBS_BASE_URL: simulator.url,
    };
    const worker = started(await startWorker(dir, env));
    return {
      env,
      rate: `${limit} calls in any ${windowMs / 1000} s, which the worker takes for ${window}`,
      faults,
      redis,
      simulator,
      worker,
      async close() {
        redis.disconnect();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A small product on a plain ground. */
function product(): Promise<Buffer> {
  const disc = Buffer.from('<svg width="96" height="96"><circle cx="48" cy="48" r="28" fill="#a33"/></svg>');
  return sharp({ create: { width: 96, height: 96, channels: 3, background: '#fff' } })
    .composite([{ input: disc }])
    .png()
    .toBuffer();
}
