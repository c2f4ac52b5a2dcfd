import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterEach, expect, it } from 'vitest';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';
import { createRig, prompts, small, steady, until, type Rig } from '../fixtures/rig.ts';

let rig: Rig;
let redis: RedisServer | undefined;
afterEach(async () => {
  await rig.close();
  await redis?.close();
  redis = undefined;
});

/** A Redis set so. */
async function open(settings: Record<string, string>, latencyMs = 50): Promise<void> {
  redis = await startRedis();
  const client = new Redis(redis.url);
  for (const [name, value] of Object.entries(settings)) await client.config('SET', name, value);
  client.disconnect();
  rig = await createRig({ redisUrl: redis.url, latency: steady(latencyMs) });
}

it('a Redis that may throw away what keeps the limit is refused by whoever would send', async () => {
  await open({ maxmemory: '100mb', 'maxmemory-policy': 'allkeys-lru' });
  const file = await rig.manifest(prompts(2));
  const ends = await Promise.all([
    rig.run(['run', file, ...small]),
    rig.run(['submit', file, ...small]),
    rig.run(['doctor']),
  ]);
  for (const { code, stdout, stderr } of ends)
    expect({ code, says: stdout + stderr }).toMatchObject({
      code: 1,
      says: expect.stringContaining('maxmemory-policy is allkeys-lru'),
    });
  const worker = rig.start(['worker']);
  await sleep(1500);
  worker.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({
    code: 143,
    stderr: expect.stringContaining('maxmemory-policy is allkeys-lru'),
  });
  expect(rig.simulator.calls).toHaveLength(0);
});

it('one that is only worrying is warned of, and doctor sees who uses another limit', async () => {
  await open({ appendonly: 'no', 'maxmemory-policy': 'allkeys-lru' }, 4000);
  const file = await rig.manifest(['a scene']);
  const run = rig.start(['run', file, ...small]);
  await until(() => rig.simulator.calls.length > 0);
  const doctor = await rig.run(['doctor'], {}, { RESHOOT_RATE_LIMIT: '31' });
  expect(doctor).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/BAD +redis .*a limit of 30 calls/),
  });
  const { code, stderr } = await run.ended;
  expect({ code, stderr }).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(/Warning: Redis: maxmemory-policy .*\nWarning: Redis: no append-only file/),
  });
});

it('a disk with too little room for an answer stops a run before it pays', async () => {
  await open({});
  const file = await rig.manifest(prompts(3));
  const check = await rig.run(['check', file, ...small]);
  expect(check.stdout).toMatch(/To store: about \d+ kB; \d+ GB are free/);
  const { code, stderr } = await rig.run(['run', file, ...small], { answerBytes: 1e15 });
  expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('Make some room') });
  expect(rig.simulator.calls).toHaveLength(0);
  expect(await rig.run(['run', file, ...small, '--max-credits', '3'])).toMatchObject({ code: 0 });
  expect((await rig.summary()).credits).toEqual({ charged: 3, unknown: 0 });
});
