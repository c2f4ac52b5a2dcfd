import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { expect } from 'vitest';
import { now } from '../../src/simulator/call-log.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';
import type { Bend } from '../fixtures/reshoot.ts';
import { createRig, prompts, small, until, type Process, type Rig } from '../fixtures/rig.ts';
import { fault, type Dice } from './fault.ts';

const windowMs = 2000;
const rows = 30;
/** Wide enough for the delivery of a busy machine: a refusal then is a slot too many. */
const guardMs = 200;

/** A run and a worker on one Redis, in the middle of their work. */
interface Shift {
  rig: Rig;
  server: RedisServer;
  /** Of the test itself. */
  redis: Redis;
  run: Process;
  worker: Process;
}

interface ShiftOptions {
  appendonly?: boolean;
  bend?: Bend;
}

/** Plays with a shift at a moment of the dice; afterwards all must be done, once, without a refusal. */
async function duringShift(
  dice: Dice,
  { appendonly = false, bend }: ShiftOptions,
  play: (shift: Shift) => Promise<string>,
): Promise<string> {
  const server = await startRedis({ appendonly });
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  redis.on('error', () => undefined);
  const rig = await createRig({
    redisUrl: server.url,
    limit: 12,
    windowMs,
    latency: { min: 100, max: 900 },
    seed: dice.between(1, 1000),
  });
  try {
    const tuning = { guardMs, ...bend };
    const worker = rig.start(['worker'], tuning);
    const run = rig.start(['run', await rig.manifest(prompts(rows)), ...small], tuning);
    const before = dice.between(5, 20);
    await until(() => rig.simulator.calls.length >= before);
    await sleep(dice.between(0, 300));
    const struck = await play({ rig, server, redis, run, worker });
    await expectAllDone({ rig, server, redis, run, worker });
    return struck;
  } finally {
    redis.disconnect();
    await rig.close();
    await server.close();
  }
}

async function expectAllDone({ rig, run, worker }: Shift): Promise<void> {
  expect(await run.ended).toMatchObject({ code: 0 });
  worker.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({ code: 143 });
  expect((await rig.summary()).rows).toMatchObject({ succeeded: rows });
  expect(rig.simulator.calls.filter(({ charged }) => charged)).toHaveLength(rows);
  expect(rig.simulator.calls.filter(({ outcome }) => outcome === 'rate_limited')).toEqual([]);
}

/** Which process of a server this is. */
async function runId(redis: Redis): Promise<string> {
  return /^run_id:(\w+)/m.exec(await redis.info('server'))?.[1] ?? '';
}

/** Resolves when a call arrives that is younger than `since`. @returns milliseconds until then */
async function goesOn({ simulator }: Rig, since: number): Promise<number> {
  const next = (): number | undefined => simulator.calls.find(({ at }) => at > since)?.at;
  await until(() => next() !== undefined, 60_000);
  return next()! - since;
}

for (const [name, appendonly] of [
  ['F20: a Redis that is killed and comes back with its data', true],
  ['F21: a Redis that is killed and comes back with nothing', false],
] as const) {
  fault(name, (dice) =>
    duringShift(dice, { appendonly }, async ({ rig, server, redis }) => {
      if (appendonly) await redis.config('SET', 'appendfsync', 'everysec');
      const first = await runId(redis);
      const sent = rig.simulator.calls.length;
      await server.kill();
      const ms = dice.between(200, 3000);
      await sleep(ms);
      await server.restart();
      const backAt = now();
      const kept = await redis.dbsize();
      expect(await runId(redis)).not.toBe(first);
      const after = await goesOn(rig, backAt);
      expect(after).toBeLessThan(windowMs + guardMs + 4000);
      return `killed after ${sent} calls, another server with ${kept} keys ${ms} ms later; went on after ${Math.round(after)} ms`;
    }),
  );
}

fault('F22: a Redis that is emptied', (dice) =>
  duringShift(dice, {}, async ({ rig, redis }) => {
    const keys = await redis.dbsize();
    const sent = rig.simulator.calls.length;
    await redis.flushall();
    const emptyAt = now();
    expect(keys).toBeGreaterThan(10);
    // What had its slot already may still leave.
    await sleep(windowMs / 2);
    const after = (await goesOn(rig, emptyAt + windowMs / 2)) + windowMs / 2;
    expect(after).toBeLessThan(windowMs + guardMs + 4000);
    return `${keys} keys flushed after ${sent} calls; went on after ${Math.round(after)} ms`;
  }),
);
