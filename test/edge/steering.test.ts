import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkManifest } from '../../src/batch/check.ts';
import { createDraft } from '../../src/batch/draft.ts';
import { openDesks } from '../../src/batch/desks.ts';
import { openOutput } from '../../src/batch/output.ts';
import { planRun } from '../../src/batch/plan.ts';
import { readPlanOptions } from '../../src/commands/plan-options.ts';
import { readConfig } from '../../src/config.ts';
import { createLog } from '../../src/log.ts';
import { throttleKeys } from '../../src/throttle/keys.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';
import {
  createRig,
  prompts,
  small,
  steady,
  until,
  type Process,
  type Rig,
  type RigOptions,
} from '../fixtures/rig.ts';

let server: RedisServer;
let redis: Redis;
let rig: Rig;
beforeEach(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
  redis.on('error', () => undefined);
});
afterEach(async () => {
  redis.disconnect();
  await rig.close();
  await server.close();
});
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig({ redisUrl: server.url, ...options });
};

async function submitted(args: string[]): Promise<string> {
  const { code, stdout, stderr } = await rig.run(['submit', ...args]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return stdout.trim();
}
const paid = (): number => rig.simulator.calls.filter((call) => call.charged).length;

describe('joining a run', () => {
  it('with another cap is refused, and nothing is sent; with the same options it is done', async () => {
    await open();
    const file = await rig.manifest(prompts(5));
    await submitted([file, ...small, '--max-credits', '4']);
    for (const args of [[], ['--max-credits', '2'], ['--max-credits', '4', '--on-unknown', 'hold']]) {
      const { code, stderr } = await rig.run(['run', file, ...small, ...args]);
      expect({ code, stderr }).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/another --(max-credits|on-unknown).*cancel r/),
      });
    }
    expect(rig.simulator.calls).toHaveLength(0);
    expect(await rig.run(['run', file, ...small, '--max-credits', '4'])).toMatchObject({ code: 8 });
    expect(paid()).toBe(4);
  });
});

describe('a Redis that loses its data', () => {
  it('does not set a paused run going, and does not lose a submitted one', async () => {
    await open({ limit: 3, windowMs: 3000, latency: steady(300) });
    const run = await submitted([await rig.manifest(prompts(9)), ...small]);
    const worker = rig.start(['worker']);
    await until(() => rig.simulator.calls.length >= 3);
    await rig.run(['pause', run]);
    await until(() => rig.simulator.inFlight === 0);
    const before = rig.simulator.calls.length;
    await redis.flushall();
    await until(async () => (await redis.exists('{reshoot}:runs')) === 1);
    await sleep(4000);
    expect(rig.simulator.calls).toHaveLength(before);
    await until(async () => (await rig.run(['resume', run])).code === 0);
    expect(await rig.run(['wait', run])).toMatchObject({ code: 0 });
    expect(paid()).toBe(9);
    worker.kill('SIGTERM');
    await worker.ended;
  });

  it('does not bring a cancelled run back to life', async () => {
    await open({ limit: 2, windowMs: 10_000, latency: steady(1500) });
    const run = rig.start(['run', await rig.manifest(prompts(8)), ...small]);
    await until(() => rig.atWork() === 2);
    const id = await redis.hkeys('{reshoot}:runs');
    expect(await rig.run(['cancel', id[0]!])).toMatchObject({ code: 0 });
    await redis.flushall();
    expect(await run.ended).toMatchObject({ code: 14 });
    expect(paid()).toBe(2);
  });
});

it('a paused run whose rows ask for the same goes on when it is resumed', async () => {
  await open({ latency: steady(100) });
  const account = throttleKeys('reshoot', rig.simulator.url).state('default');
  await redis.hset(account, 'paused', Date.now() + 25_000);
  const run = rig.start(['run', await rig.manifest(['same', 'same']), ...small]);
  const jobs = async (): Promise<number> => (await redis.keys('{reshoot}:edit:r*.?')).length;
  await until(async () => (await jobs()) === 2);
  const [id = ''] = await redis.hkeys('{reshoot}:runs');
  expect(await rig.run(['pause', id])).toMatchObject({ code: 0 });
  // One waited for a slot and has left the line; the other waits for it.
  await until(async () => (await jobs()) === 1);
  await sleep(1000);
  await redis.hdel(account, 'paused');
  expect(await rig.run(['resume', id])).toMatchObject({ code: 0 });
  expect(await Promise.race([run.ended, sleep(8000)])).toMatchObject({ code: 0 });
  expect(paid()).toBe(1);
});

describe('a sleeping process', () => {
  /** A run without a slot yet, of whose rows most are in the hands of a worker that sleeps now. */
  async function asleep(): Promise<{ file: string; run: Process; worker: Process }> {
    await open({ latency: steady(100) });
    const account = throttleKeys('reshoot', rig.simulator.url).state('default');
    await redis.hset(account, 'paused', Date.now() + 25_000);
    const worker = rig.start(['worker']);
    await until(async () => (await redis.zcard('{reshoot}:workers')) === 1);
    const file = await rig.manifest(prompts(6));
    const run = rig.start(['run', file, ...small, '--concurrency', '1'], { stalledMs: 500 });
    await until(async () => (await redis.llen('{reshoot}:edit:active')) === 6);
    // Until the worker's stand in the line.
    await sleep(1000);
    worker.kill('SIGSTOP');
    await redis.hdel(account, 'paused');
    return { file, run, worker };
  }

  async function expectNoCall(worker: Process): Promise<void> {
    const before = rig.simulator.calls.length;
    worker.kill('SIGCONT');
    await sleep(2500);
    expect(rig.simulator.calls).toHaveLength(before);
  }

  it('makes no call for a run whose place another plan has taken', async () => {
    const { file, run, worker } = await asleep();
    run.kill('SIGKILL');
    await run.ended;
    const [id = ''] = await redis.hkeys('{reshoot}:runs');
    expect(await rig.run(['run', file, ...small, '--limit', '1'])).toMatchObject({ code: 0 });
    // As if its end were still to be written.
    await rm(join(rig.out, '.reshoot/runs', id, 'end.json'));
    await expectNoCall(worker);
  });

  it('makes no call for a run that has ended', async () => {
    const { run, worker } = await asleep();
    run.kill('SIGTERM');
    // As if it had slept for longer than they last; nor does anybody wait to look for those that have ended.
    await redis.del('{reshoot}:edit:stalled-check');
    await redis.del(await redis.keys('{reshoot}:edit:*:lock'));
    expect(await run.ended).toMatchObject({ code: 143 });
    await expectNoCall(worker);
  });
});

it('a plan is not begun any more once its user has stopped it', async () => {
  await open();
  const env = { REDIS_URL: server.url, SPIDERHUBS_BASE_URL: rig.simulator.url, SPIDERHUBS_API_KEY: 'k' };
  const config = readConfig(env);
  const file = await rig.manifest(prompts(2));
  const flags = { name: '{id}.{ext}', map: [], size: '64x64', ratio: '1:1', route: '1', maxAttempts: '4' };
  const rest = { retryBudget: '10%', concurrency: 'auto', timeout: '300s' };
  const options = readPlanOptions(file, { ...flags, ...rest }, config);
  const draft = createDraft();
  const { manifest } = await checkManifest(file, options, { target: rig.out, output: undefined }, draft);
  const checked = { manifest, draft };
  const desks = await openDesks(config, createLog('silent'));
  try {
    const output = await openOutput(rig.out);
    const order = { ...options, submitted: true };
    const stopped = { ...order, stop: AbortSignal.abort('SIGINT') };
    expect(await planRun(checked, output, stopped, desks)).toBeUndefined();
    expect(await desks.desk.runs()).toEqual([]);
    const going = { ...order, stop: new AbortController().signal };
    expect(await planRun(checked, output, going, desks)).toMatchObject({ how: 'new' });
  } finally {
    await desks.leave();
  }
});

describe('a run whose output fails', () => {
  it('takes nothing from the runs of others, and can be cancelled', async () => {
    await open({
      latency: steady(200),
      except: { I1: 'a report cannot be written', I2: 'what stands in its way' },
    });
    const file = await rig.manifest(prompts(3));
    const bad = await submitted([file, '-o', 'bad', '--size', '64x64']);
    // Its report can never be written.
    await writeFile(join(rig.dir, 'bad', 'report'), '');
    const { code, stderr } = await rig.run(['run', file, ...small]);
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining(`cancel ${bad}`) });
    expect((await rig.summary()).rows).toMatchObject({ succeeded: 3 });
    const drained = await rig.run(['worker', '--drain']);
    expect(drained).toMatchObject({ code: 1, stderr: expect.stringContaining('given up') });
    expect(await rig.run(['cancel', bad])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is cancelled'),
    });
    expect((await rig.run(['status'])).stdout).not.toContain('running');
    expect(await rig.run(['worker', '--drain'])).toMatchObject({ code: 0 });
  });

  it('or is gone holds up no worker, and is forgotten when it is cancelled', async () => {
    await open();
    const run = await submitted([await rig.manifest(prompts(2)), ...small]);
    await rm(rig.out, { recursive: true });
    expect(await rig.run(['worker', '--drain'])).toMatchObject({ code: 0 });
    expect(await rig.run(['cancel', run])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('forgotten'),
    });
    expect(await redis.exists('{reshoot}:runs')).toBe(0);
    expect(rig.simulator.calls).toHaveLength(0);
  });

  it('or has lost its plan is said so', async () => {
    await open({ except: { I1: 'the plan is gone', D6: 'the plan is gone' } });
    const run = await submitted([await rig.manifest(prompts(2)), ...small]);
    await rm(join(rig.out, '.reshoot', 'runs', run, 'plan.jsonl'));
    const drained = await rig.run(['worker', '--drain']);
    expect(drained).toMatchObject({ code: 0, stderr: expect.stringContaining('plan.jsonl') });
    expect(await rig.run(['cancel', run])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('plan.jsonl'),
    });
    expect(await redis.exists('{reshoot}:runs')).toBe(0);
  });
});

it('a worker whose account may not work leaves the run to those whose may', async () => {
  await open({ latency: steady(300), limit: 6, credits: 20 });
  const keys = (name: string, key: string) => ({
    SPIDERHUBS_API_KEY: '',
    SPIDERHUBS_API_KEYS: `${name}=${key}`,
  });
  // The simulator knows no such key.
  const bad = rig.start(['worker'], {}, keys('bad', 'nonsense'));
  const good = rig.start(['worker'], {}, keys('good', 'sk_live_good'));
  await until(async () => (await redis.zcard('{reshoot}:workers')) === 2);
  const run = await submitted([await rig.manifest(prompts(14)), ...small]);
  expect(await rig.run(['wait', run])).toMatchObject({ code: 0 });
  expect(rig.simulator.calls.some((call) => call.status === 401)).toBe(true);
  expect(paid()).toBe(14);
  for (const worker of [bad, good]) worker.kill('SIGTERM');
  await Promise.all([bad.ended, good.ended]);
});

it('a run whose account may not work ends, though a worker for another API is alive', async () => {
  await open({ latency: steady(100) });
  const elsewhere = {
    SPIDERHUBS_API_KEY: '',
    SPIDERHUBS_API_KEYS: 'far=k',
    SPIDERHUBS_BASE_URL: 'http://[::1]:9',
  };
  rig.start(['worker'], {}, elsewhere);
  await until(async () => (await redis.zcard('{reshoot}:workers')) === 1);
  const run = rig.start(['run', await rig.manifest(prompts(2)), ...small], {}, { SPIDERHUBS_API_KEY: 'bad' });
  expect(await Promise.race([run.ended, sleep(8000)])).toMatchObject({ code: 7 });
});

it('an account that has spent its credits of the day leaves the rest to that of a worker, while it has some', async () => {
  await open({ latency: steady(100) });
  await writeFile(join(rig.dir, 'reshoot.yaml'), 'maxCreditsPerDay: 3\n');
  const account = (name: string) => ({
    SPIDERHUBS_API_KEY: '',
    SPIDERHUBS_API_KEYS: `${name}=sk_live_${name}`,
  });
  const worker = rig.start(['worker'], {}, account('b'));
  await until(async () => (await redis.zcard('{reshoot}:workers')) === 1);
  worker.kill('SIGSTOP');
  const run = rig.start(['run', await rig.manifest(prompts(8)), ...small], {}, account('a'));
  await until(() => rig.simulator.calls.length === 3);
  await sleep(1000);
  worker.kill('SIGCONT');
  expect(await Promise.race([run.ended, sleep(15_000)])).toMatchObject({ code: 8 });
  expect(rig.simulator.calls.map(({ account }) => account).sort()).toEqual(['a', 'a', 'a', 'b', 'b', 'b']);
});

it('a credit that a killed process took for a row that then ends without a call is spent on another', async () => {
  await open({ latency: steady(100) });
  const gone = join(rig.dir, 'pictures', 'gone.png');
  await copyFile(join(rig.dir, 'pictures', 'p.png'), gone);
  const file = await rig.manifest(prompts(3));
  await writeFile(file, (await readFile(file, 'utf8')).replace('p.png', 'gone.png'));
  const run = await submitted([file, ...small, '--max-credits', '2']);
  const locks = { lockMs: 500, stalledMs: 300 };
  await rig.run(['worker', '--concurrency', '1'], { ...locks, killAt: 'slot taken' });
  await rm(gone);
  rig.start(['worker'], locks);
  const ended = rig.run(['wait', run]);
  expect(await Promise.race([ended, sleep(12_000)])).toMatchObject({ code: 6 });
  expect((await rig.summary()).rows).toMatchObject({ succeeded: 2, failed: 1 });
});

it('a run that was cut off and makes room for another plan keeps its line in the books', async () => {
  rig = await createRig({ latency: steady(3000) });
  const file = await rig.manifest(prompts(4));
  const first = rig.start(['run', file, ...small]);
  await until(() => rig.atWork() === 4);
  first.kill('SIGKILL');
  await first.ended;
  const second = await rig.run(['run', file, ...small, '--limit', '1']);
  expect(second).toMatchObject({
    code: 0,
    stderr: expect.stringMatching(
      /was cut off, and this plan takes its place; 4 of its calls may have been paid/,
    ),
  });
  const lines = (await readFile(join(rig.out, 'report', 'runs.csv'), 'utf8')).trim().split('\n').slice(1);
  expect(lines.map((line) => line.split(',').slice(-4))).toEqual([
    ['4', '0', '4', '1'],
    ['1', '1', '0', '0'],
  ]);
});

it('a row that was reported as held stays so until its user says otherwise', async () => {
  rig = await createRig({ latency: steady(3000) });
  const file = await rig.manifest(prompts(2));
  const first = rig.start(['run', file, ...small]);
  await until(() => rig.atWork() === 2);
  first.kill('SIGKILL');
  await first.ended;
  expect(await rig.run(['run', file, ...small, '--on-unknown', 'hold'])).toMatchObject({ code: 12 });
  expect(await rig.run(['run', file, ...small])).toMatchObject({ code: 12 });
  expect(rig.simulator.calls).toHaveLength(2);
  expect(await rig.run(['run', file, ...small, '--on-unknown', 'retry'])).toMatchObject({ code: 0 });
  expect(rig.simulator.calls).toHaveLength(4);
});

it('a Redis that falls silent in the middle of a command ends it with 1 soon', async () => {
  await open();
  const run = await submitted([await rig.manifest(prompts(1)), ...small]);
  // Reading goes on, writing waits.
  await redis.call('CLIENT', 'PAUSE', '20000', 'WRITE');
  const started = performance.now();
  const ends = await Promise.all(['cancel', 'pause', 'resume'].map((name) => rig.run([name, run])));
  expect(performance.now() - started).toBeLessThan(10_000);
  for (const end of ends)
    expect(end).toMatchObject({ code: 1, stderr: expect.stringContaining('not answer any more') });
  await redis.call('CLIENT', 'UNPAUSE');
});
