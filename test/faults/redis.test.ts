import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { expect } from 'vitest';
import { now } from '../../src/simulator/call-log.ts';
import { createLink, type Link } from '../fixtures/link.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';
import type { Bend } from '../fixtures/reshoot.ts';
import { createRig, prompts, small, until, type Process, type Rig } from '../fixtures/rig.ts';
import { fault, longFault, type Dice } from './fault.ts';

const windowMs = 3000;
const rows = 40;
/** Wide enough for the delivery of a busy machine: a refusal then is a slot too many. */
const guardMs = 600;

/** Accounts rest a window where calls may have been lost; beyond that it is a busy machine that takes its time. */
const soonMs = windowMs + guardMs + 8000;

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
  /** What the commands are told to be their Redis; by default the server's own address. */
  url?: (server: RedisServer) => Promise<string>;
  /** What must hold after the play. */
  ends?: (shift: Shift) => Promise<void>;
}

/** Plays with a shift at a moment of the dice; afterwards all must be done, once, without a refusal. */
async function duringShift(
  dice: Dice,
  { appendonly = false, bend, url, ends = expectAllDone }: ShiftOptions,
  play: (shift: Shift) => Promise<string>,
): Promise<string> {
  const server = await startRedis({ appendonly });
  const redis = new Redis(server.url, { maxRetriesPerRequest: null });
  redis.on('error', () => undefined);
  const rig = await createRig({
    redisUrl: (await url?.(server)) ?? server.url,
    limit: 15,
    windowMs,
    latency: { min: 100, max: 900 },
    seed: dice.between(1, 1000),
  });
  try {
    const tuning = { guardMs, ...bend };
    const worker = rig.start(['worker'], tuning);
    const run = rig.start(['run', await rig.manifest(prompts(rows)), ...small], tuning);
    const before = dice.between(3, 28);
    await until(() => rig.simulator.calls.length >= before, 60_000);
    await sleep(dice.between(0, 300));
    const struck = await play({ rig, server, redis, run, worker });
    await ends({ rig, server, redis, run, worker });
    return struck;
  } finally {
    redis.disconnect();
    await rig.close();
    await server.close();
  }
}

async function expectAllDone({ rig, run, worker }: Shift): Promise<void> {
  const { code, stderr } = await run.ended;
  expect({ code, stderr }).toMatchObject({ code: 0 });
  worker.kill('SIGTERM');
  expect(await worker.ended).toMatchObject({ code: 143 });
  await expectDoneOnce(rig);
}

async function expectDoneOnce(rig: Rig): Promise<void> {
  const results = await rig.results();
  expect(results.filter(({ status }) => status !== 'succeeded' && status !== 'skipped')).toEqual([]);
  expect(results).toHaveLength(rows);
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
      expect(after).toBeLessThan(soonMs);
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
    expect(after).toBeLessThan(soonMs);
    return `${keys} keys flushed after ${sent} calls; went on after ${Math.round(after)} ms`;
  }),
);

for (const [name, bend, lengths] of [
  ['F23: an outage of Redis', {}, [8000, 15_000, 3000]],
  [
    'F23: an outage of Redis far longer than the lock',
    { lockMs: 1000, stalledMs: 500 },
    [15_000, 8000, 6000],
  ],
] as const) {
  longFault(name, (dice) =>
    duringShift(dice, { appendonly: true, bend }, async ({ rig, server }) => {
      const sent = rig.simulator.calls.length;
      await server.kill();
      const ms = dice.pick(lengths);
      await sleep(ms);
      await server.restart();
      const after = await goesOn(rig, now());
      expect(after).toBeLessThan(soonMs);
      return `gone for ${ms} ms after ${sent} calls; went on ${Math.round(after)} ms after it was back`;
    }),
  );
}

longFault('F23: the embedded Redis is killed', async (dice) => {
  // Never full, so that an account that waits is one that rests.
  const rig = await createRig({ limit: 100, windowMs: 20_000, latency: { min: 100, max: 900 } });
  const server = async (): Promise<number> => {
    const text = await readFile(join(rig.dir, 'state', 'redis', 'server.json'), 'utf8');
    return (JSON.parse(text) as { pid: number }).pid;
  };
  try {
    const manifest = await rig.manifest(prompts(rows));
    const run = rig.start(['run', manifest, ...small, '--concurrency', '3'], { guardMs });
    const before = dice.between(3, 28);
    await until(() => rig.simulator.calls.length >= before, 60_000);
    await sleep(dice.between(0, 300));
    const first = await server();
    process.kill(first, 'SIGKILL');
    const killedAt = now();
    await until(async () => (await server().catch(() => first)) !== first);
    const back = now() - killedAt;
    // Those that were about to be sent may still leave; the next one needs a slot of the new server's.
    const since = (): number[] => rig.simulator.calls.map(({ at }) => at - killedAt).filter((ms) => ms > 0);
    await until(() => since().length > 3, 60_000);
    const after = since()[3]!;
    // It has lost nothing, so no account rests a window.
    expect(after).toBeLessThan(5000);
    expect(await run.ended).toMatchObject({ code: 0 });
    await expectDoneOnce(rig);
    return `process ${first} killed, another one ${Math.round(back)} ms later; went on after ${Math.round(after)} ms`;
  } finally {
    await rig.close();
  }
});

longFault('F23: a worker that is killed gives its rows back within a minute', (dice) =>
  duringShift(
    dice,
    {
      ends: async ({ rig, run }) => {
        expect(await run.ended).toMatchObject({ code: 0 });
        expect((await rig.summary()).rows).toMatchObject({ succeeded: rows });
      },
    },
    async ({ rig, redis, run, worker }) => {
      const hands = (): number =>
        rig.simulator.calls.filter((call) => call.process === String(worker.pid)).length;
      await until(() => hands() > 0 && rig.atWork() > 0);
      worker.kill('SIGKILL');
      const killedAt = now();
      const left = await redis.llen('{reshoot}:edit:active');
      expect(await run.ended).toMatchObject({ code: 0 });
      // Given back, they still wait for their turn.
      const after = Math.max(...rig.simulator.calls.map(({ at }) => at)) - killedAt;
      expect(after).toBeLessThan(60_000 + windowMs);
      return `killed with ${left} rows in hand of both; the last was sent ${Math.round(after)} ms later`;
    },
  ),
);
longFault('F25: Redis is killed, then the processes are told to stop', (dice) => {
  const again = async ({ rig, server }: Shift): Promise<void> => {
    await server.restart();
    expect(await rig.run(['run', join(rig.dir, 'manifest.csv'), ...small], { guardMs })).toMatchObject({
      code: 0,
    });
    await expectDoneOnce(rig);
  };
  return duringShift(dice, { ends: again }, async ({ rig, server, run, worker }) => {
    const sent = rig.atWork();
    await server.kill();
    await sleep(dice.between(0, 500));
    const toldAt = now();
    const ends = await Promise.all(
      [run, worker].map(async (process) => {
        process.kill('SIGTERM');
        const { code, stderr } = await process.ended;
        return { code, stderr, ms: now() - toldAt };
      }),
    );
    for (const { code, stderr, ms } of ends) {
      expect({ code, stderr }).toMatchObject({ code: 143 });
      expect(ms).toBeLessThan(30_000);
    }
    const [first, second] = ends.map(({ ms }) => Math.round(ms));
    return `killed with ${sent} calls in flight; the run ended after ${first} ms, the worker after ${second} ms`;
  });
});

longFault('F26: Redis is frozen for twice the lock', (dice) =>
  duringShift(dice, { bend: { lockMs: 2000, stalledMs: 1000 } }, async ({ rig, server, redis }) => {
    const sent = rig.simulator.calls.length;
    await server.freeze(4000);
    const wokenAt = now();
    await redis.ping();
    const after = await goesOn(rig, wokenAt);
    expect(after).toBeLessThan(soonMs);
    return `frozen for 4 s after ${sent} calls; went on ${Math.round(after)} ms after it was woken`;
  }),
);

longFault('F27: connections to Redis are cut again and again', (dice) =>
  duringShift(dice, {}, async ({ redis }) => {
    let cut = 0;
    for (const end = now() + 4000; now() < end; await sleep(dice.between(200, 400))) {
      cut += Number(await redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes'));
    }
    expect(cut).toBeGreaterThan(10);
    return `${cut} connections cut in 4 s`;
  }),
);

longFault('F30: a fail-over to a replica that lacks the last writes', async (dice) => {
  const replica = await startRedis();
  const second = new Redis(replica.url);
  let link: Link | undefined;
  const url = async (server: RedisServer): Promise<string> => {
    link = await createLink(Number(new URL(server.url).port));
    await second.replicaof('127.0.0.1', Number(new URL(server.url).port));
    await until(async () => (await second.info('replication')).includes('master_link_status:up'));
    return `redis://127.0.0.1:${link.port}`;
  };
  try {
    return await duringShift(dice, { url }, async ({ rig, server, redis }) => {
      await second.replicaof('NO', 'ONE');
      const at = now();
      const ms = dice.between(200, 1000);
      await sleep(ms);
      const lost = rig.simulator.calls.filter((call) => call.at > at).length;
      const [old, young] = await Promise.all([redis.info('commandstats'), second.dbsize()]);
      expect(old).toContain('cmdstat_zadd');
      await link?.lead(Number(new URL(replica.url).port));
      link?.cut();
      await server.kill();
      const switchedAt = now();
      const after = await goesOn(rig, switchedAt + 100);
      expect(after).toBeLessThan(soonMs);
      return `the replica, with ${young} keys, lacked ${ms} ms and ${lost} calls; went on after ${Math.round(after)} ms`;
    });
  } finally {
    second.disconnect();
    await link?.close();
    await replica.close();
  }
});

longFault('F31: the memory of Redis is full', (dice) =>
  duringShift(dice, { bend: { lockMs: 3000, stalledMs: 1500 } }, async ({ rig, redis }) => {
    const used = /^used_memory:(\d+)/m.exec(await redis.info('memory'))?.[1] ?? '1';
    const refusals = async (): Promise<number> =>
      Number(/^errorstat_OOM:count=(\d+)/m.exec(await redis.info('errorstats'))?.[1] ?? 0);
    await redis.config('SET', 'maxmemory', used);
    const ms = dice.between(2000, 5000);
    await sleep(ms);
    const refused = await refusals();
    expect(refused).toBeGreaterThan(0);
    await redis.config('SET', 'maxmemory', '0');
    const after = await goesOn(rig, now());
    expect(after).toBeLessThan(soonMs);
    return `${refused} commands refused in ${ms} ms; went on after ${Math.round(after)} ms`;
  }),
);

/** What may happen to the throttle's keys, which a sliding window would be open without. */
const losses: Record<string, (redis: Redis, keys: string[]) => Promise<unknown>> = {
  'log deleted': (redis, keys) => redis.del(keys.filter((key) => key.endsWith(':log'))),
  'logs deleted': (redis, keys) => redis.del(keys.filter((key) => key.includes(':log'))),
  'state deleted': (redis, keys) => redis.del(keys.filter((key) => key.endsWith(':state'))),
  'account deleted': (redis, keys) => redis.del(keys.filter((key) => key.includes(':account:'))),
  'ledger deleted': (redis, keys) => redis.del(keys.filter((key) => key.endsWith(':ledger'))),
  'credits in flight deleted': (redis, keys) => redis.del(keys.filter((key) => key.endsWith(':open'))),
  'all deleted': (redis, keys) => redis.del(keys),
  'all kept for ever': (redis, keys) => Promise.all(keys.map((key) => redis.persist(key))),
  'log nonsense': (redis, keys) =>
    Promise.all(keys.filter((key) => key.includes(':log')).map((key) => redis.set(key, 'nonsense'))),
  'all nonsense': (redis, keys) => Promise.all(keys.map((key) => redis.set(key, 'nonsense'))),
  'state nonsense': (redis, keys) =>
    Promise.all(
      keys
        .filter((key) => key.endsWith(':state'))
        .map((key) =>
          redis.hset(key, { paused: 'x', cap: 'x', cap_at: 'x', guard: 'x', guard_at: 'x', refusing: 'x' }),
        ),
    ),
};

fault("F34: the throttle's keys are lost or spoilt", (dice) =>
  duringShift(dice, {}, async ({ rig, redis }) => {
    const [name, lose] = dice.pick(Object.entries(losses));
    const keys = await redis.keys('{reshoot}:*');
    const own = keys.filter((key) => /:account:|:run:.*:(ledger|open)$/.test(key));
    expect(own.length).toBeGreaterThan(2);
    const sent = rig.simulator.calls.length;
    await lose(redis, own);
    const after = await goesOn(rig, now());
    return `${name} of ${own.length} keys after ${sent} calls; the next call came ${Math.round(after)} ms later`;
  }),
);
