import { writeFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it, type TestContext } from 'vitest';
import { deskKeys } from '../../src/queue/keys.ts';
import { createPresence } from '../../src/queue/presence.ts';
import type { SimulatedCall } from '../../src/simulator/call-log.ts';
import type { Counting } from '../../src/simulator/counting.ts';
import type { SimulatorOptions } from '../../src/simulator/server.ts';
import { throttleKeys } from '../../src/throttle/keys.ts';
import { limitUsed } from '../fixtures/limit-used.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';
import type { Bend } from '../fixtures/reshoot.ts';
import { createRig, picture, small, steady, until, type Process, type Rig } from '../fixtures/rig.ts';
import { startSlowLine, type SlowLine } from '../fixtures/slow-line.ts';
import type { Cell } from './table.ts';

/** 60 s scaled down, which makes every delay of this machine that much worse. */
const windowMs = 20_000;

const prompt = 'a marble table';

interface Setting {
  counting: Counting;
  /** `run` and so many workers less one. */
  processes: number;
  accounts: number;
  /** Calls an account in a window. */
  limit: number;
  simulator: SimulatorOptions;
  /** Of every process. */
  bend: Bend;
  /** Of the first worker alone. */
  workerBend: Bend;
  /** Bytes behind the picture, which no decoder minds. */
  padding: number;
}

const usual = { processes: 3, accounts: 1, limit: 30, simulator: {}, bend: {}, workerBend: {}, padding: 0 };

let setting: Setting;
let redis: RedisServer;
let rig: Rig;
let line: SlowLine | undefined;
let foreign: NodeJS.Timeout | undefined;

afterEach(async () => {
  clearInterval(foreign);
  await rig.close();
  await line?.close();
  await redis.close();
  line = undefined;
});

async function open(given: Partial<Setting> & { counting: Counting }): Promise<void> {
  setting = { ...usual, ...given };
  redis = await startRedis();
  rig = await createRig({
    redisUrl: redis.url,
    windowMs,
    limit: setting.limit,
    counting: setting.counting,
    latency: { min: 1000, max: 1500 },
    // Delivery jitters, by less than the guard.
    countAfterMs: () => Math.random() * 80,
    ...setting.simulator,
  });
  const bytes = Buffer.concat([await picture(), Buffer.alloc(setting.padding)]);
  await writeFile(join(rig.dir, 'pictures', 'p.png'), bytes);
  await warmUp(bytes);
}

/**
 * Has the simulator draw its picture and learn its work on an account that nobody uses: while it does so for the first
 * time it hears nothing, and would count a whole burst too late.
 */
async function warmUp(bytes: Buffer): Promise<void> {
  const body = JSON.stringify({ prompt, size: '64x64', route: 1, image_b64: bytes.toString('base64') });
  await Promise.all(Array.from({ length: 10 }, () => call('warm', body)));
}

async function call(account: string, body: string): Promise<void> {
  const headers = { authorization: `Bearer sk_live_${account}`, 'content-type': 'application/json' };
  const url = `${rig.simulator.url}/openapi/v1/image/gpt-image-2/i2i`;
  await (await fetch(url, { method: 'POST', headers, body })).arrayBuffer();
}

const accountNames = (): string[] => Array.from({ length: setting.accounts }, (_, i) => `a${i + 1}`);
const baseUrl = (): string => line?.url ?? rig.simulator.url;

function start(args: string[], bend: Bend = {}): Process {
  const env = {
    SPIDERHUBS_API_KEY: '',
    SPIDERHUBS_API_KEYS: accountNames()
      .map((name) => `${name}=sk_live_${name}`)
      .join(','),
    SPIDERHUBS_BASE_URL: baseUrl(),
  };
  const started = rig.start(args, { ...setting.bend, ...bend }, env);
  // A real server isn't slowed down by its clients.
  setPriority(started.pid, 10);
  return started;
}

/** Resolves when all workers are at work: the more there are the longer they take to start. */
async function startWorkers(): Promise<void> {
  const workers = setting.processes - 1;
  for (let i = 0; i < workers; i++) start(['worker'], i === 0 ? setting.workerBend : {});
  const client = new Redis(redis.url);
  const presence = createPresence(client, deskKeys('reshoot'));
  await until(async () => (await presence.living()).length >= workers, 60_000);
  client.disconnect();
}

/** Resolves when every row is done; each asks for something of its own. */
async function run(rows: number, out = 'out', ...more: string[]): Promise<void> {
  const file = await rig.manifest(Array.from({ length: rows }, (_, i) => `${prompt} ${i}`));
  const { code, stderr } = await start(['run', file, ...small, '--force', ...more, '-o', out]).ended;
  expect({ code, stderr }).toMatchObject({ code: 0 });
}

const ours = (): SimulatedCall[] => rig.simulator.calls.filter(isOurs);
const isOurs = (call: SimulatedCall): boolean => call.process !== '';
const isRefused = (call: SimulatedCall): boolean => call.outcome === 'rate_limited';

/** What the simulator's log says of our calls, for the assertions and for the table. */
async function count({ task }: TestContext, asked?: (times: number[]) => number[]): Promise<Cell> {
  const calls = ours();
  const times = calls.filter((call) => !isRefused(call)).map(({ at }) => at);
  times.sort((a, b) => a - b);
  const { counting, processes, accounts, limit } = setting;
  const cell = {
    counting,
    processes,
    accounts,
    scenario: task.name,
    calls: calls.length,
    refused: calls.filter(isRefused).length,
    used: limitUsed(times, { limit: limit * accounts, windowMs }, asked?.(times)),
    lateMs: await lateness(),
  };
  task.meta.cell = cell;
  const working = new Set(calls.slice(asked ? 10 : 0).map((call) => call.process));
  // Whoever trickled may still be there, and help.
  expect(working.size).toBeGreaterThanOrEqual(processes);
  return cell;
}

/**
 * How much later than we stamped them calls were counted, at most: in the order of time, the last ones that our log in
 * Redis still holds.
 */
async function lateness(): Promise<number> {
  const client = new Redis(redis.url);
  const keys = throttleKeys('reshoot', baseUrl());
  const late = await Promise.all(
    accountNames().map(async (account) => {
      const entries = await client.zrange(keys.log(account), '(0', '+inf', 'BYSCORE', 'WITHSCORES');
      const stamps = entries.filter((_, i) => i % 2 === 1).map(Number);
      const counted = ours().filter((call) => call.account === account);
      const times = counted.map(({ at }) => at).sort((a, b) => a - b);
      return Math.max(...stamps.map((stamp, i) => times.at(i - stamps.length)! - stamp));
    }),
  );
  client.disconnect();
  return Math.max(...late);
}

const full = { refused: 0, used: expect.toSatisfy((used: number) => used >= 0.97, 'at least 97 %') };

/**
 * The throttle against a server that counts in one way, in processes of their own on one Redis. Where a protection is
 * taken away a sliding server refuses: without the guard in a burst, without the stamps after cold connects
 * (test/edge/throttle-processes.test.ts does both). An aligned server is hit then too, but only where the edge of its
 * window falls between two of our bursts; a bucket forgives both, being refilled meanwhile. What the trickle cell would
 * lose against those two is the log that slides: a fixed window of ours would let twice the limit through.
 */
export function describeMatrix(counting: Counting): void {
  describe.each([1, 3, 8])('%i processes', (processes) => {
    it.for([1, 4])('burst over %i accounts', async (accounts, context) => {
      // More calls at once than one account's 30 would measure the computer, which takes tens of milliseconds for each.
      const limit = accounts === 1 ? 30 : 7;
      await open({ counting, processes, accounts, limit });
      await startWorkers();
      await run(3 * limit * accounts);
      expect(await count(context)).toMatchObject(full);
    });
  });

  it('trickle, then a burst at the end of the window', async (context) => {
    await open({ counting, simulator: { latency: steady(1750) } });
    const trickle = run(10, 'trickle', '--concurrency', '1');
    await until(() => ours().length === 10, 40_000);
    await startWorkers();
    await Promise.all([trickle, run(80)]);
    const burst = (times: number[]): number[] => times.map((at, i) => (i < 10 ? at : times[10]!));
    expect(await count(context, burst)).toMatchObject(full);
  });

  it('cold connects', async (context) => {
    await open({ counting, bend: { coldConnectMs: 300 } });
    await startWorkers();
    await run(90);
    expect(await count(context)).toMatchObject(full);
  });

  it.for(['headers', 'body'] as const)(
    'uploads of 8 MB on a slow line, counted at the %s',
    async (countAt, context) => {
      await open({ counting, limit: 10, simulator: { countAt }, padding: 7_990_000 });
      line = await startSlowLine(rig.simulator.url, 2.5e6);
      await startWorkers();
      await run(50);
      expect(await count(context)).toMatchObject(full);
    },
  );

  it.for([3000, 25_000])('a worker frozen for %i ms between slot and send', async (ms, context) => {
    await open({ counting, workerBend: { freeze: { at: 'slot taken', time: 1, ms } } });
    await startWorkers();
    // So many that the others fill the limit alone, while 30 of them wait in the frozen worker's hands.
    await run(135);
    const unsent = (await rig.results()).flatMap(({ calls }) =>
      calls.filter((c) => c.outcome === 'not_sent'),
    );
    expect(unsent.length).toBeGreaterThan(0);
    expect(await count(context)).toMatchObject(full);
  });

  it('somebody else uses the account', async (context) => {
    await open({ counting });
    await startWorkers();
    const others = useAccount();
    await run(120);
    // Two thirds of the limit are ours. They don't try again, so that chance decides how many of their calls are served.
    const served = others().filter((call) => !isRefused(call)).length;
    const cell = Object.assign(await count(context), { others: served / others().length });
    expect(cell.refused).toBeLessThanOrEqual(30);
    expect(cell.used).toBeGreaterThanOrEqual(0.5);
    expect(cell.others).toBeGreaterThanOrEqual(0.2);
  });
}

/** Ten calls a window, one after another, as of somebody who knows nothing of us and gives up what is refused. */
function useAccount(): () => SimulatedCall[] {
  foreign = setInterval(() => void call('a1-other', '{}'), windowMs / 10);
  return () => rig.simulator.calls.filter((call) => call.account === 'a1' && !isOurs(call));
}
