import { Redis } from 'ioredis';
import { afterEach, describe, expect } from 'vitest';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';
import { createRig, small, steady, until, type Rig, type RigOptions } from '../fixtures/rig.ts';
import { expectAllDone } from './done.ts';
import { fault, longFault } from './fault.ts';

let rig: Rig;
let redis: RedisServer;
const open = async (options: RigOptions = {}): Promise<void> => {
  redis = await startRedis();
  rig = await createRig({ ...options, redisUrl: redis.url });
};
afterEach(async () => {
  await rig.close();
  await redis.close();
});

describe('F62 the clock of one machine', () => {
  fault('is ten minutes off: it sends nothing', async (dice) => {
    await open();
    const clockMs = dice.pick([600_000, -600_000]);
    const file = await rig.manifest(['scene 1']);
    const started = performance.now();
    const { code, stderr } = await rig.run(['run', file, ...small], { clockMs });
    expect(performance.now() - started).toBeLessThan(10_000);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('Nothing was sent') });
    // A worker waits for somebody to set it.
    const worker = rig.start(['worker'], { clockMs });
    const submitted = await rig.run(['submit', file, ...small, '--json']);
    expect(submitted).toMatchObject({ code: 0 });
    const waiting = rig.start(['wait', (JSON.parse(submitted.stdout) as { run: string }).run]);
    const right = rig.start(['worker']);
    expect(await waiting.ended).toMatchObject({ code: 0 });
    const made = new Set(rig.simulator.calls.map((call) => call.process));
    expect(made).toEqual(new Set([String(right.pid)]));
    worker.kill('SIGTERM');
    const end = await worker.ended;
    expect(end).toMatchObject({ code: 143, stderr: expect.stringMatching(/waiting for Redis/) });
    await expectAllDone(rig, 1);
    return /its clock is .* machine's/.exec(stderr)?.[0] ?? '';
  });

  longFault('is twenty seconds off: it works beside another, warned', async (dice) => {
    const dated = 'each machine dates its calls by a clock of its own';
    await open({ limit: 10, latency: steady(300), except: { I3: dated, D6: dated } });
    const clockMs = dice.pick([20_000, -20_000]);
    // A row whose first call fails waits about a second for its next.
    const marked = Array.from({ length: 18 }, (_, i) => `scene ${i + 1}${i % 3 === 0 ? ' [sim:500]' : ''}`);
    const file = await rig.manifest(marked);
    const workers = [{ clockMs }, {}].map((bend) => rig.start(['worker', '--concurrency', '3'], bend));
    await workersAt(redis.url, 2);
    const submitted = await rig.run(['submit', file, ...small, '--json']);
    expect(submitted).toMatchObject({ code: 0 });
    const waiting = rig.start(['wait', (JSON.parse(submitted.stdout) as { run: string }).run]);
    expect(await waiting.ended).toMatchObject({ code: 0 });
    for (const worker of workers) worker.kill('SIGTERM');
    const ends = await Promise.all(workers.map(({ ended }) => ended));
    await expectAllDone(rig, 18);
    expect(new Set(rig.simulator.calls.map((call) => call.process)).size).toBe(2);
    expect(rig.simulator.calls.filter(({ status }) => status === 429)).toEqual([]);
    const delays = rig.simulator.calls.flatMap(({ row, at, ms }, i, all) => {
      const next = all.slice(i + 1).find((call) => call.row === row);
      return next ? [Math.round(next.at - at - ms)] : [];
    });
    // What the one puts off the other may do sooner, by as much as their clocks differ; nothing waits that much longer.
    expect(delays).toHaveLength(6);
    expect(Math.max(...delays)).toBeLessThan(Math.abs(clockMs));
    const off = ends.map(({ stderr }) => /its clock is .* machine's/.exec(stderr)?.[0] ?? '').join('');
    return off && `${off}; the next calls came after ${delays.join(', ')} ms`;
  });
});

/** Resolves when so many processes have said to this Redis that they live. */
async function workersAt(url: string, count: number): Promise<void> {
  const desk = new Redis(url);
  try {
    await until(async () => (await desk.zcard('{reshoot}:workers')) === count, 60_000);
  } finally {
    desk.disconnect();
  }
}
