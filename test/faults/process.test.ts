import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp from 'sharp';
import { afterEach, describe, expect, it } from 'vitest';
import { steps } from '../../src/batch/steps.ts';
import { keyOf } from '../../src/records/call.ts';
import { serve } from '../fixtures/api-call.ts';
import { answer, pictureAnswer } from '../fixtures/api-server.ts';
import { canLimitMemory, limitMemory, type MemoryGroup } from '../fixtures/memory-group.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';
import { createRig, prompts, small, steady, until, type Rig, type RigOptions } from '../fixtures/rig.ts';
import { expectAllDone, paidInSilence } from './done.ts';
import { fault, longFault } from './fault.ts';

let rig: Rig;
let redis: RedisServer | undefined;
let group: MemoryGroup | undefined;
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig(options);
};
const openShared = async (options: RigOptions = {}): Promise<void> => {
  redis = await startRedis();
  await open({ ...options, redisUrl: redis.url });
};
afterEach(async () => {
  await rig.close();
  await redis?.close();
  redis = undefined;
  await group?.close();
  group = undefined;
});

/** Locks of the dead and the frozen end soon. */
const short = { lockMs: 1000, stalledMs: 500 };

const charged = (): number => rig.simulator.calls.filter((call) => call.charged).length;

describe('F1–F5 a run killed at a step', () => {
  it.each(steps.map((step) => [step]))(
    '%s: goes on, and pays again only where nobody can know',
    async (step) => {
      await open({ latency: steady(200) });
      const file = await rig.manifest(prompts(6));
      const killed = await rig.run(['run', file, '-o', 'out', '--size', '1K'], {
        killAt: step,
        killAtTime: 3,
      });
      expect(killed.signal).toBe('SIGKILL');
      const { code, stderr } = await rig.run(['run', file, '-o', 'out', '--size', '1K']);
      expect({ code, stderr }).toMatchObject({ code: 0 });
      await expectAllDone(rig, 6);
    },
  );
});

/** How many changes an undisturbed run of six rows makes; those of Redis grow with the time it takes. */
let undisturbed: Promise<{ disk: number; redis: number }> | undefined;
async function changesOfARun(): Promise<{ disk: number; redis: number }> {
  const whole = await createRig({ latency: steady(200) });
  try {
    const { stderr } = await whole.run(['run', await whole.manifest(prompts(6)), ...small], {
      killAtOperation: Number.MAX_SAFE_INTEGER,
    });
    return JSON.parse(/operations made: (.*)/.exec(stderr)?.[1] ?? '') as { disk: number; redis: number };
  } finally {
    await whole.close();
  }
}

fault('F6 killed before any change of disk or Redis, and again, a run goes on', async (dice) => {
  const changes = await (undisturbed ??= changesOfARun());
  const kind = dice.pick(['disk', 'redis'] as const);
  await open({ latency: steady(200) });
  const file = await rig.manifest(prompts(6));
  const killed = await rig.run(['run', file, ...small], {
    operationsOn: `^${kind}`,
    killAtOperation: dice.between(1, Math.floor(changes[kind] * (kind === 'disk' ? 0.97 : 0.8))),
  });
  expect(killed.signal).toBe('SIGKILL');
  const again = await rig.run(['run', file, ...small], { killAtOperation: dice.between(1, changes.disk) });
  const { code, stderr } = await rig.run(['run', file, ...small]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  await expectAllDone(rig, 6);
  return [killed, again]
    .map((run) => /killed before .*/.exec(run.stderr)?.[0] ?? `ended ${run.code}`)
    .join('; ');
});

/** A run that workers on a shared Redis work on, which is waited for. */
async function submit(prompts: string[], ...options: string[]) {
  const file = await rig.manifest(prompts);
  const { stdout, code, stderr } = await rig.run(['submit', file, ...small, '--json', ...options]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  const { run } = JSON.parse(stdout) as { run: string };
  return rig.start(['wait', run]);
}

longFault('F7 all workers killed five times, and no row is lost', async (dice) => {
  await openShared({ latency: steady(600) });
  const waiting = await submit(prompts(16), '--retry-budget', '500%', '--max-attempts', '20');
  const begin = () => [1, 2].map(() => rig.start(['worker', '--concurrency', '2'], short));
  let workers = begin();
  let atWork = 0;
  for (let kills = 0; kills < 5; kills++) {
    await until(() => rig.atWork() > 0, 60_000);
    await sleep(dice.between(0, 400));
    atWork += rig.atWork();
    for (const worker of workers) worker.kill('SIGKILL');
    for (const { ended } of workers) expect((await ended).signal).toBe('SIGKILL');
    await until(() => rig.atWork() === 0, 60_000);
    workers = begin();
  }
  const { code, stderr } = await waiting.ended;
  expect({ code, stderr }).toMatchObject({ code: 0 });
  await expectAllDone(rig, 16);
  return `5 kills of 2 workers, ${atWork} calls cut off`;
});

describe('a signal', () => {
  for (const [signal, exit] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    fault(
      `F9 ${signal} finishes and keeps what is in flight, and the next run does the rest`,
      async (dice) => {
        await open({ limit: 4, latency: steady(1200) });
        const file = await rig.manifest(prompts(7));
        const run = rig.start(['run', file, ...small]);
        await until(() => rig.atWork() >= 3, 60_000);
        await sleep(dice.between(0, 900));
        const atWork = rig.atWork();
        run.kill(signal);
        const { code, stdout } = await run.ended;
        expect({ code, stdout }).toMatchObject({ code: exit, stdout: expect.stringContaining('To go on:') });
        const { rows, exit_code: written, credits } = await rig.summary();
        expect(written).toBe(exit);
        expect(credits.unknown).toBe(0);
        expect(rows['succeeded']).toBe(rig.simulator.calls.length);
        expect(rows).toMatchObject({ succeeded: charged(), not_attempted: 7 - charged() });
        expect(rows['not_attempted']).toBeGreaterThan(0);
        expect((await rig.run(['run', file, ...small])).code).toBe(0);
        expect(charged()).toBe(7);
        expect((await rig.results()).every((row) => row.charged === 'yes' && row.credits === 1)).toBe(true);
        return atWork > 0 ? `${signal} with ${atWork} calls in flight` : '';
      },
    );
  }

  fault('F10 a second one ends it at once: the open calls may have been paid for', async (dice) => {
    await open({ latency: steady(6000) });
    const file = await rig.manifest(prompts(3));
    const run = rig.start(['run', file, ...small]);
    await until(() => rig.atWork() === 3, 60_000);
    run.kill('SIGINT');
    await sleep(dice.between(300, 1500));
    run.kill('SIGTERM');
    const told = performance.now();
    expect((await run.ended).code).toBe(143);
    expect(performance.now() - told).toBeLessThan(4000);
    const cut = rig.simulator.inFlight;
    expect(cut).toBe(3);
    const next = await rig.run(['run', file, ...small]);
    expect(next).toMatchObject({ code: 0, stderr: expect.stringContaining('was cut off and goes on') });
    for (const row of await rig.results()) {
      expect(row).toMatchObject({ status: 'succeeded', charged: 'unknown', credits: 1, credits_unknown: 1 });
      // On a busy machine a slot may grow too old before anything is sent.
      const sent = row.calls.filter((call) => call.error_code !== 'not_sent');
      expect(sent.map((call) => call.error_code)).toEqual(['worker_lost', null]);
    }
    return `${cut} calls were left behind`;
  });
});

describe('F11 frozen for longer than its lock', () => {
  fault('a process joins its own calls: each is made once', async (dice) => {
    await openShared({ latency: steady(6000) });
    const file = await rig.manifest(prompts(3));
    const run = rig.start(['run', file, ...small, '-v'], short);
    await until(() => rig.atWork() === 3, 60_000);
    await sleep(dice.between(0, 800));
    run.kill('SIGSTOP');
    await sleep(3000);
    run.kill('SIGCONT');
    const { code, stderr } = await run.ended;
    expect(code).toBe(0);
    expect(rig.simulator.calls).toHaveLength(3);
    return /started again while it runs here: joined/.exec(stderr)?.[0] ?? '';
  });

  fault("a process's rows, taken over by another, wait for its calls", async (dice) => {
    await openShared({ latency: steady(6000) });
    const file = await rig.manifest(prompts(3));
    const run = rig.start(['run', file, ...small], short);
    await until(() => rig.atWork() === 3, 60_000);
    await sleep(dice.between(0, 800));
    run.kill('SIGSTOP');
    const worker = rig.start(['worker'], short);
    await sleep(4000);
    run.kill('SIGCONT');
    expect((await run.ended).code).toBe(0);
    worker.kill('SIGTERM');
    const { code, stderr } = await worker.ended;
    expect(code).toBe(143);
    expect(rig.simulator.calls).toHaveLength(3);
    expect((await rig.results()).every((row) => row.status === 'succeeded')).toBe(true);
    return /has this call in flight: waiting for it/.exec(stderr)?.[0] ?? '';
  });

  longFault('one of two processes, at any moment: nothing is paid for twice', async (dice) => {
    await openShared({ limit: 6, latency: { min: 100, max: 900 } });
    const file = await rig.manifest(prompts(18));
    const run = rig.start(['run', file, ...small], short);
    const worker = rig.start(['worker'], short);
    const calls = dice.between(1, 6);
    await until(() => rig.simulator.calls.length >= calls, 60_000);
    const frozen = dice.pick([run, worker]);
    await sleep(dice.between(0, 1000));
    frozen.kill('SIGSTOP');
    const before = rig.simulator.calls.length;
    await sleep(3000);
    const during = rig.simulator.calls.length - before;
    frozen.kill('SIGCONT');
    const { code, stderr } = await run.ended;
    expect({ code, stderr }).toMatchObject({ code: 0 });
    await expectAllDone(rig, 18);
    expect(charged()).toBe(18);
    return `the ${frozen === run ? 'run' : 'worker'} stood still after ${before} calls; the other made ${during}`;
  });
});

longFault(
  'F18 two runs of one plan at once are one; another plan and another limit are refused',
  async (dice) => {
    await open({ latency: steady(7000) });
    const file = await rig.manifest(prompts(4));
    const both = [rig.start(['run', file, ...small])];
    await sleep(dice.between(0, 1000));
    both.push(rig.start(['run', file, ...small]));
    await until(() => rig.simulator.inFlight > 0, 60_000);
    const [plan, limit] = await Promise.all([
      rig.run(['run', file, '-o', 'out', '--size', '128x128']),
      rig.run(['run', file, ...small], {}, { RESHOOT_RATE_LIMIT: '31' }),
    ]);
    expect(plan).toMatchObject({ code: 2, stderr: expect.stringMatching(/\bwait r\S+.*\bcancel r/s) });
    expect(limit).toMatchObject({ code: 2, stderr: expect.stringContaining('RESHOOT_RATE_LIMIT') });
    const ends = await Promise.all(both.map(({ ended }) => ended));
    expect(ends.map(({ code }) => code)).toEqual([0, 0]);
    expect(rig.simulator.calls).toHaveLength(4);
    expect((await rig.summary()).rows).toMatchObject({ succeeded: 4 });
    const joined = ends.filter(({ stderr }) => stderr.includes('is already on'));
    return joined.length === 1 ? 'one of them joined the other' : '';
  },
);

/** Where it does: before its record, with its record and before it is sent, or over its paid answer. */
const deaths = ['rename .*KEY-', 'open .*KEY-', 'mkdir .*calls/../KEY'];

longFault(
  'F15 a row that kills its worker each time fails in the end, and the others finish',
  async (dice) => {
    await openShared({ latency: { min: 100, max: 700 } });
    const waiting = await submit(prompts(8));
    const poison = dice.between(1, 8);
    const death = dice.pick(deaths);
    const bend = {
      ...short,
      killAtOperation: 1,
      operationsOn: death.replace('KEY', keyOf(`r${poison}`)),
    };
    const over = new AbortController();
    void waiting.ended.then(() => over.abort());
    let deadly = 0;
    // As a service manager does.
    while (!over.signal.aborted) {
      // One call at a time: what is in flight beside it would be lost with it.
      const worker = rig.start(['worker', '--concurrency', '1'], bend);
      void waiting.ended.then(() => worker.kill('SIGTERM'));
      const { signal } = await worker.ended;
      if (signal === 'SIGKILL') deadly += 1;
      expect(deadly).toBeLessThanOrEqual(10);
    }
    expect((await waiting.ended).code).toBe(5);
    const results = await rig.results();
    const { calls, ...ill } = results[poison - 1]!;
    expect(ill).toMatchObject({ status: 'failed', error_code: 'worker_lost' });
    const paid = rig.simulator.calls.filter((call) => call.charged && call.row === `scene ${poison}`).length;
    expect(paid).toBeLessThanOrEqual(4);
    expect(calls.filter((call) => call.charged === 'unknown').length).toBeGreaterThanOrEqual(paid);
    expect(results.filter(({ status }) => status === 'succeeded')).toHaveLength(7);
    expect(await paidInSilence(rig)).toEqual([]);
    return `${deadly} workers died over row ${poison} (${death}), ${paid} of its calls were paid`;
  },
);

/** A PNG of about three bytes a pixel. */
const noise = (side: number): Promise<Buffer> =>
  sharp(randomBytes(side * side * 3), { raw: { width: side, height: side, channels: 3 } })
    .png({ compressionLevel: 0 })
    .toBuffer();
/** A small file that is decoded in one piece of 294 MB. */
const bomb = (): Promise<Buffer> =>
  sharp({ create: { width: 9900, height: 9900, channels: 3, background: '#a33' } })
    .png({ progressive: true, compressionLevel: 1 })
    .toBuffer();

// Only root may limit it.
if (canLimitMemory)
  longFault(
    'F13 less memory than a picture needs kills whoever asks for it: that row fails, and the others finish',
    async (dice) => {
      const megabytes = dice.between(16, 30);
      const [usual, deadly] = await Promise.all([noise(Math.round(Math.sqrt(megabytes * 350_000))), bomb()]);
      const [usualAnswer, deadlyAnswer] = [usual, deadly].map((bytes) => Buffer.from(pictureAnswer(bytes)));
      const ill = dice.between(1, 6);
      const paid: number[] = [0, 0, 0, 0, 0, 0, 0];
      const server = await serve({
        onRequest(socket, { body }) {
          const row = Number(/scene (\d)/.exec(body.toString('latin1'))?.[1]);
          paid[row]! += 1;
          answer(socket, 200, row === ill ? deadlyAnswer : usualAnswer);
        },
      });
      await open({
        except: { I3: 'its calls go elsewhere than to the simulator', I6: 'the system kills its commands' },
      });
      group = await limitMemory(300 * 1024 * 1024);
      const file = await rig.manifest(prompts(6));
      const args = ['run', file, ...small, '--max-attempts', '2', '--concurrency', '3'];
      const ends: (number | string | null)[] = [];
      while (typeof ends.at(-1) !== 'number' && ends.length < 5) {
        const run = rig.start(args, {}, { SPIDERHUBS_BASE_URL: server.origin });
        await group.add(run.pid);
        const { code, signal } = await run.ended;
        ends.push(signal ?? code);
      }
      expect(ends.at(-1)).toBe(5);
      const results = await rig.results();
      expect(results.map(({ status }) => status)).toEqual(
        [1, 2, 3, 4, 5, 6].map((row) => (row === ill ? 'failed' : 'succeeded')),
      );
      expect(results[ill - 1]).toMatchObject({ error_code: 'decoder_died' });
      for (const { row, credits, credits_unknown: unknown } of results)
        expect(credits + unknown).toBe(paid[row]);
      const kills = await group.kills();
      return kills > 0
        ? `${kills} processes were killed at ${megabytes} MB a picture; the runs ended with ${ends.join()}`
        : '';
    },
  );
