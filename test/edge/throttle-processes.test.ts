import { afterEach, describe, expect, it } from 'vitest';
import { limitUsed } from '../fixtures/limit-used.ts';
import { startRedis } from '../fixtures/redis.ts';
import type { Bend } from '../fixtures/reshoot.ts';
import { createRig, until, type Process, type Rig } from '../fixtures/rig.ts';

/** 60 s scaled down, which makes every delay of this machine that much worse. */
const windowMs = 20_000;
const limit = 30;

let rig: Rig;
let redis: Awaited<ReturnType<typeof startRedis>>;

afterEach(async () => {
  await rig.close();
  await redis.close();
});

interface Count {
  refused: number;
  /** Share of the limit used. */
  used: number;
  /** Calls by process. */
  processes: number[];
}

/** `run` and two `worker`s on one Redis; every row is done, although all ask for the same. */
async function start(rows: number, bend: Bend): Promise<Process> {
  redis = await startRedis();
  // Delivery jitters, by less than the guard.
  const countAfterMs = (): number => Math.random() * 80;
  rig = await createRig({
    redisUrl: redis.url,
    windowMs,
    limit,
    latency: { min: 1000, max: 1500 },
    countAfterMs,
  });
  rig.start(['worker'], bend);
  rig.start(['worker'], bend);
  const file = await rig.manifest(Array.from({ length: rows }, () => 'a marble table'));
  return rig.start(['run', file, '-o', 'out', '--size', '64x64', '--force'], bend);
}

const refusals = (): number => rig.simulator.calls.filter((call) => call.outcome === 'rate_limited').length;

/** Everything done, counted where it matters: in the simulator's log. */
async function measure(rows: number, bend: Bend = {}): Promise<Count> {
  const { code, stderr } = await (await start(rows, bend)).ended;
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const accepted = rig.simulator.calls.filter((call) => call.outcome !== 'rate_limited');
  const processes = [...new Set(accepted.map((call) => call.process))];
  return {
    refused: refusals(),
    used: limitUsed(
      accepted.map((call) => call.at),
      { limit, windowMs },
    ),
    processes: processes.map((pid) => accepted.filter((call) => call.process === pid).length),
  };
}

/** Resolves at the first refusal. @throws Error when everything was done without one */
async function refusal(rows: number, bend: Bend): Promise<void> {
  const run = await start(rows, bend);
  let ended = false;
  void run.ended.then(() => (ended = true));
  await until(() => refusals() > 0 || ended, 100_000);
  expect(refusals()).toBeGreaterThan(0);
}

describe('three processes on one Redis', () => {
  it('use at least 97 % of the limit and are never refused', async () => {
    const { refused, used, processes } = await measure(90);
    expect(refused).toBe(0);
    expect(used).toBeGreaterThanOrEqual(0.97);
    expect(processes).toHaveLength(3);
    expect(Math.min(...processes)).toBeGreaterThan(0);
  });

  it('are refused without the guard', async () => {
    await refusal(60, { guardMs: 0 });
  });

  it('are not refused when connections take their random time', async () => {
    const { refused } = await measure(60, { coldConnectMs: 900 });
    expect(refused).toBe(0);
  });

  it('are refused then without the stamps', async () => {
    await refusal(60, { coldConnectMs: 900, stamps: false });
  });
});
