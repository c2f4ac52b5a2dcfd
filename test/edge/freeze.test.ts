import { afterEach, beforeEach, expect, it } from 'vitest';
import { setTimeout as sleep } from 'node:timers/promises';
import { startRedis } from '../fixtures/redis.ts';
import { createRig, until, type Rig } from '../fixtures/rig.ts';

let rig: Rig;
let redis: Awaited<ReturnType<typeof startRedis>>;

beforeEach(async () => {
  redis = await startRedis();
  rig = await createRig({ redisUrl: redis.url, latency: { min: 6000, max: 6000 } });
});
afterEach(async () => {
  await rig.close();
  await redis.close();
});

const short = { lockMs: 1000, stalledMs: 500 };

it('a process frozen longer than its lock joins its own call: one call', async () => {
  const file = await rig.manifest(['one', 'two', 'three']);
  const run = rig.start(['run', file, '-o', 'out', '--size', '1K', '-v'], short);
  await until(() => rig.atWork() === 3);
  run.kill('SIGSTOP');
  await sleep(3000);
  run.kill('SIGCONT');
  const { code, stderr } = await run.ended;
  expect(code).toBe(0);
  expect(stderr).toContain('joined');
  expect(rig.simulator.calls).toHaveLength(3);
});

it("a frozen process's rows, taken over by another, wait for its calls instead of paying again", async () => {
  const file = await rig.manifest(['one', 'two', 'three']);
  const run = rig.start(['run', file, '-o', 'out', '--size', '1K'], short);
  await until(() => rig.atWork() === 3);
  run.kill('SIGSTOP');
  const worker = rig.start(['worker'], short);
  await sleep(4000);
  run.kill('SIGCONT');
  expect((await run.ended).code).toBe(0);
  worker.kill('SIGTERM');
  const { code, stderr } = await worker.ended;
  expect(code).toBe(143);
  expect(stderr).toContain('waiting for it');
  expect(rig.simulator.calls).toHaveLength(3);
  expect((await rig.results()).every((row) => row.status === 'succeeded')).toBe(true);
});
