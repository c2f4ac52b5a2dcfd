import { setTimeout as sleep } from 'node:timers/promises';
import { sampleRedis } from './keys.ts';
import { sampleProcess, sampleSpool } from './sample.ts';
import type { Stage } from './stage.ts';
import type { Sample } from './trend.ts';

/** Measures again and again until it is stopped. */
export interface Sampler {
  /** Every few seconds, whatever goes on. */
  working: Sample[];
  /** Of moments without a run, when all garbage is collected: what a worker still holds then, it holds for ever. */
  resting: Sample[];
  rest(): Promise<void>;
  /** Rejects when something can't be measured any more. */
  failed: Promise<never>;
  stop(): Promise<void>;
}

const mostMs = 10_000;
const leastMs = 1000;
/** A short soak has as many samples as a day. */
const wanted = 160;
/** After this long without a run thumbnails, heartbeats and leases are done. */
const calmMs = 3000;

/** @param tell is told of every moment of rest */
export function startSampler(
  dir: string,
  { redis, worker, simulator }: Stage,
  minutes: number,
  tell: (sample: Sample) => void,
): Sampler {
  const everyMs = Math.max(leastMs, Math.min(mostMs, (minutes * 60_000) / wanted));
  const started = performance.now();
  const working: Sample[] = [];
  const resting: Sample[] = [];
  const over = new AbortController();

  const measure = async (): Promise<Sample> => ({
    s: (performance.now() - started) / 1000,
    calls: simulator.tally.calls,
    ...(await sampleProcess(worker.pid)),
    ...(await sampleRedis(redis)).measures,
    spool: await sampleSpool(dir),
  });
  const measuring = (async () => {
    while (!over.signal.aborted) {
      working.push(await measure());
      await sleep(everyMs, undefined, { signal: over.signal }).catch(() => undefined);
    }
  })();
  return {
    working,
    resting,
    async rest() {
      await sleep(calmMs);
      const heap = await worker.heapUsed();
      const sample = { ...(await measure()), heap_mb: heap / 2 ** 20 };
      resting.push(sample);
      tell(sample);
    },
    failed: measuring.then(() => new Promise<never>(() => undefined)),
    async stop() {
      over.abort();
      await measuring;
    },
  };
}
