import { access, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { startRedis } from '../fixtures/redis.ts';
import { createRig, prompts, small, steady, until, type Rig, type RigOptions } from '../fixtures/rig.ts';

let rig: Rig;
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig(options);
};
afterEach(() => rig.close());

const paid = (): number => rig.simulator.calls.filter((call) => call.charged).length;

/** Submits the manifest. @returns the run's id */
async function submitted(file: string): Promise<string> {
  const { code, stdout, stderr } = await rig.run(['submit', file, ...small]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return stdout.trim();
}

describe('a submitted run', () => {
  it('waits for a worker, whoever comes and goes, and is done by one', async () => {
    await open();
    const file = await rig.manifest(prompts(3));
    const first = await rig.run(['submit', file, ...small]);
    expect(first).toMatchObject({ code: 0, stderr: expect.stringContaining('No worker is alive') });
    const run = first.stdout.trim();
    expect(run).toMatch(/^r\w+-[0-9a-f]{6}$/);
    const again = await rig.run(['submit', file, ...small, '--json']);
    expect(JSON.parse(again.stdout)).toEqual({ run, rows: 3, to_do: 3 });
    const other = await rig.run(['submit', file, '-o', 'out', '--size', '128x128']);
    expect(other).toMatchObject({ code: 2, stderr: expect.stringMatching(`wait ${run}.*cancel ${run}`) });
    expect(rig.simulator.calls).toHaveLength(0);
    const idle = await rig.run(['status', run, '--json']);
    const before = {
      run,
      manifest: file,
      output: rig.out,
      state: 'waiting',
      rows: { total: 3, chosen: 3, succeeded: 0, skipped: 0, failed: 0, held: 0, other: 0, open: 3 },
      in_flight: 0,
      credits: { charged: 0, unknown: 0, cap: null },
      accounts: expect.any(Array),
      errors: [],
      left_ms: null,
      workers: 0,
      exit_code: null,
      summary: null,
    };
    expect(JSON.parse(idle.stdout)).toEqual(before);
    expect((await rig.run(['status'])).stdout).toMatch(new RegExp(`${run} +waiting +0 of 3 `));
    const waiting = rig.start(['wait', run]);
    expect(await rig.run(['worker', '--drain'])).toMatchObject({ code: 0 });
    const waited = await waiting.ended;
    expect(waited).toMatchObject({ code: 0, stdout: expect.stringContaining('3 succeeded') });
    expect(paid()).toBe(3);
    const all = await rig.run(['status']);
    expect(all.stdout).toMatch(new RegExp(`${run} +exit 0 +3 of 3 +3 +.*manifest.csv`));
    const late = await rig.run(['wait', run, '--json']);
    expect(late.code).toBe(0);
    const summary = await rig.summary();
    expect(JSON.parse(late.stdout)).toEqual(summary);
    const after = {
      ...before,
      state: 'finished',
      rows: { ...before.rows, succeeded: 3, open: 0 },
      credits: { charged: 3, unknown: 0, cap: null },
      accounts: null,
      errors: null,
      workers: null,
      exit_code: 0,
      summary,
    };
    expect(JSON.parse((await rig.run(['status', '--json'])).stdout)).toEqual([after]);
    expect(JSON.parse((await rig.run(['status', run, '--json'])).stdout)).toEqual(after);
  });

  it('is cancelled without anybody who works: the report is there, nothing was sent', async () => {
    await open();
    const run = await submitted(await rig.manifest(prompts(2)));
    const cancelled = await rig.run(['cancel', run]);
    expect(cancelled).toMatchObject({ code: 0, stdout: expect.stringContaining('is cancelled. Report:') });
    expect((await rig.results()).map(({ status }) => status)).toEqual(['cancelled', 'cancelled']);
    expect(await rig.run(['wait', run])).toMatchObject({ code: 14 });
    expect(await rig.run(['resume', run])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('finished'),
    });
    expect(await rig.run(['worker', '--drain'])).toMatchObject({ code: 0 });
    expect(rig.simulator.calls).toHaveLength(0);
    expect(await rig.run(['run', join(rig.dir, 'manifest.csv'), ...small])).toMatchObject({ code: 0 });
    expect(paid()).toBe(2);
  });
});

describe('a run that is on', () => {
  it('is paused, resumed and cancelled: what is in flight is kept, what is not sent costs nothing', async () => {
    await open({ limit: 3, windowMs: 3000, latency: steady(1500) });
    const file = await rig.manifest(prompts(12));
    const run = rig.start(['run', file, ...small]);
    await until(() => rig.atWork() === 3);
    const id = (await rig.run(['status', '--json'])).stdout.match(/"run": "(\w+-\w+)"/)?.[1] ?? '';
    expect(await rig.run(['pause', id])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining(`resume ${id}`),
    });
    await until(() => rig.simulator.inFlight === 0);
    const before = rig.simulator.calls.length;
    expect(await rig.run(['pause', id])).toMatchObject({ stdout: expect.stringContaining('already') });
    const { stdout } = await rig.run(['status', id]);
    expect(stdout).toContain('paused');
    // The report isn't there yet; its small pictures are made meanwhile.
    const thumbs = async (): Promise<number> => {
      const names = await readdir(join(rig.out, 'report', 'thumbs'), { recursive: true }).catch(() => []);
      return names.filter((name) => name.endsWith('.webp')).length;
    };
    await until(async () => (await thumbs()) === before + 1);
    await expect(access(join(rig.out, 'report', 'summary.json'))).rejects.toThrow('ENOENT');
    // Two windows of the limit went by.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    expect(rig.simulator.calls).toHaveLength(before);
    expect(await rig.run(['resume', id])).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('goes on'),
    });
    await until(() => rig.simulator.calls.length > before);
    expect(await rig.run(['cancel', id])).toMatchObject({ code: 0, stdout: expect.stringContaining('wait') });
    const ended = await run.ended;
    expect(ended).toMatchObject({ code: 14, stdout: expect.stringContaining('cancelled') });
    const { rows, calls } = await rig.summary();
    expect(calls).toBe(rig.simulator.calls.length);
    expect(rows).toMatchObject({ succeeded: paid(), cancelled: 12 - paid() });
    expect(paid()).toBeLessThan(12);
    expect(paid()).toBeGreaterThan(before - 1);
  });

  it('tells of its rows, and a row of all its calls', async () => {
    await open({ latency: steady(100) });
    const hostile = '<b>\u001B[31m杯子🏺';
    const file = await rig.manifest(['fine [sim:503]', 'bad [sim:422*]', 'good'], {
      note: ['a', 'b', 'c'],
    });
    await writeFile(
      file,
      (await readFile(file, 'utf8')).replace('"r3"', `"${hostile.replace('\u001B', '')}"`),
    );
    expect(await rig.run(['run', file, ...small])).toMatchObject({ code: 6 });
    const { run } = await rig.summary();
    const failed = await rig.run(['status', run, '--rows', 'failed']);
    expect(failed.stdout).toMatch(/^ +2 {2}failed +r2 {2}unprocessable: .*\n$/);
    const all = await rig.run(['status', run, '--rows', 'all', '--json']);
    expect(JSON.parse(all.stdout)).toEqual(await rig.results());
    expect(JSON.parse((await rig.run(['status', run, '--rows', 'held', '--json'])).stdout)).toEqual([]);
    const second = await rig.run(['status', run, 'r2', '--json']);
    expect(JSON.parse(second.stdout)).toEqual((await rig.results())[1]);
    const story = await rig.run(['status', run, 'r1']);
    expect(story.stdout).toMatch(/r1: row 1 of run .*\n.*succeeded\n.*out\/r1\.jpg/);
    expect(story.stdout).toMatch(
      / 1 .* 1 .* 503 +unknown +gateway_error: .*\n.* 2 .* 2 .* 200 +yes +succeeded\n$/,
    );
    expect((await rig.run(['status', run, 'r9'])).stderr).toContain('no row "r9"');
    expect(await rig.run(['status', 'r0'])).toMatchObject({ code: 2, stderr: expect.stringContaining(run) });
    expect(await rig.run(['status', run, '--rows', 'lost'])).toMatchObject({ code: 2 });
  });

  it('is waited for elsewhere; a signal ends the wait and not the run', async () => {
    const redis = await startRedis();
    const looker = new Redis(redis.url);
    try {
      await open({ redisUrl: redis.url, latency: steady(5000) });
      const run = rig.start(['run', await rig.manifest(prompts(3)), ...small]);
      await until(() => rig.atWork() === 3);
      const id = (await rig.run(['status', '--json'])).stdout.match(/"run": "(\w+-\w+)"/)?.[1] ?? '';
      const clients = async (): Promise<number> =>
        ((await looker.client('LIST')) as string).split('\n').length;
      const before = await clients();
      const waiting = rig.start(['wait', id]);
      await until(async () => (await clients()) > before);
      waiting.kill('SIGINT');
      const goesOn = `Run ${id} goes on without this command; to see its end: reshoot wait ${id}\n`;
      expect(await waiting.ended).toMatchObject({ code: 130, stderr: expect.stringContaining(goesOn) });
      expect(await run.ended).toMatchObject({ code: 0 });
      // Redis remembers the end when the output is out of sight.
      expect(await rig.run(['wait', id, '--json'])).toMatchObject({ code: 0 });
    } finally {
      looker.disconnect();
      await redis.close();
    }
  });
});

describe('doctor', () => {
  it('finds all well, never shows the key, and leaves nothing behind', async () => {
    await open();
    const { code, stdout, stderr } = await rig.run(['doctor', '-o', 'new/out']);
    expect({ code, stdout, stderr }).toMatchObject({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      /ok +redis +(redis|valkey) \d+\.\d+.*, private, in .*\n.*ok +key +present for default/,
    );
    expect(stdout).toMatch(/ok +output .*new\/out is writable, [\d.]+ GB free/);
    expect(stdout).toMatch(/ok +decoder/);
    expect(stdout).not.toContain('sk_live');
    await expect(access(join(rig.dir, 'new'))).rejects.toThrow('ENOENT');
  });

  it('names what is bad or worrying, and ends with 1', async () => {
    const redis = await startRedis();
    try {
      await open();
      await writeFile(join(rig.dir, 'file'), '');
      const env = { REDIS_URL: redis.url, SPIDERHUBS_API_KEY: '' };
      await redis.restart();
      const { code, stdout } = await rig.run(['doctor', '-o', 'file/out'], {}, env);
      expect({ code, stdout }).toMatchObject({ code: 1 });
      expect(stdout).toMatch(/WORRY +redis +no append-only file/);
      expect(stdout).toMatch(/BAD +key +none: set SPIDERHUBS_API_KEY/);
      expect(stdout).toMatch(/BAD +output .*ENOTDIR/);
      const none = await rig.run(['doctor'], {}, { PATH: '/nowhere' });
      expect(none).toMatchObject({ code: 1, stdout: expect.stringContaining('scripts/redis.sh') });
    } finally {
      await redis.close();
    }
  });
});
