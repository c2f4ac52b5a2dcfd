import { describe, expect, it, type TestContext } from 'vitest';
import { limitUsed } from '../fixtures/limit-used.ts';
import type { Exceptions } from '../checker/expect.ts';
import { startRedis } from '../fixtures/redis.ts';
import type { Bend } from '../fixtures/reshoot.ts';
import { createRig, until, type Process, type Rig } from '../fixtures/rig.ts';

/** 60 s scaled down, which makes every delay of this machine that much worse. */
const windowMs = 20_000;
const limit = 30;

interface Count {
  refused: number;
  /** Share of the limit used. */
  used: number;
  /** Calls by process. */
  processes: number[];
}

interface Started {
  rig: Rig;
  run: Process;
}

/** `run` and two `worker`s on one Redis; every row asks for something of its own. */
async function start(
  rows: number,
  bend: Bend,
  { onTestFinished }: TestContext,
  except: Exceptions = {},
): Promise<Started> {
  const redis = await startRedis();
  onTestFinished(() => redis.close());
  // Delivery jitters, by less than the guard.
  const countAfterMs = (): number => Math.random() * 150;
  const rig = await createRig({
    redisUrl: redis.url,
    windowMs,
    limit,
    latency: { min: 1000, max: 1500 },
    countAfterMs,
    except,
  });
  onTestFinished(() => rig.close());
  rig.start(['worker'], bend);
  rig.start(['worker'], bend);
  const file = await rig.manifest(Array.from({ length: rows }, (_, i) => `a marble table, ${i}`));
  return { rig, run: rig.start(['run', file, '-o', 'out', '--size', '64x64', '--force'], bend) };
}

const refusals = (rig: Rig): number =>
  rig.simulator.calls.filter((call) => call.outcome === 'rate_limited').length;

/** Everything done, counted where it matters: in the simulator's log. */
async function measure(rows: number, bend: Bend, test: TestContext): Promise<Count> {
  const { rig, run } = await start(rows, bend, test);
  const { code, stderr } = await run.ended;
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const accepted = rig.simulator.calls.filter((call) => call.outcome !== 'rate_limited');
  const processes = [...new Set(accepted.map((call) => call.process))];
  return {
    refused: refusals(rig),
    used: limitUsed(
      accepted.map((call) => call.at),
      { limit, windowMs },
    ),
    processes: processes.map((pid) => accepted.filter((call) => call.process === pid).length),
  };
}

/** Resolves at the first refusal. @throws Error when everything was done without one */
async function refusal(rows: number, bend: Bend, test: TestContext): Promise<void> {
  const { rig, run } = await start(rows, bend, test, { I4: 'what keeps the limit is off' });
  let ended = false;
  void run.ended.then(() => (ended = true));
  await until(() => refusals(rig) > 0 || ended, 100_000);
  expect(refusals(rig)).toBeGreaterThan(0);
}

describe('three processes on one Redis', () => {
  it('use at least 97 % of the limit and are never refused', async (test) => {
    const { refused, used, processes } = await measure(60, {}, test);
    expect(refused).toBe(0);
    expect(used).toBeGreaterThanOrEqual(0.97);
    expect(processes).toHaveLength(3);
    expect(Math.min(...processes)).toBeGreaterThan(0);
  });

  it('are not refused when connections take their random time', async (test) => {
    const { refused } = await measure(60, { coldConnectMs: 900 }, test);
    expect(refused).toBe(0);
  });
});

// Side by side: that they disturb each other brings only more refusals.
describe.concurrent('three processes on one Redis are refused', () => {
  it('without the guard', async (test) => {
    await refusal(120, { guardMs: 0 }, test);
  });

  it('without the stamps, when connections take their random time', async (test) => {
    await refusal(60, { coldConnectMs: 900, stamps: false }, test);
  });
});
