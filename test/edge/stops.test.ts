import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import { built } from '../fixtures/build.ts';
import { startRedis } from '../fixtures/redis.ts';
import { createRig, prompts, small, steady, until, type Rig, type RigOptions } from '../fixtures/rig.ts';

let rig: Rig;
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig(options);
};
afterEach(() => rig.close());

/** Nothing listens there. */
const nowhere = 'redis://127.0.0.1:1';

describe('a shared Redis', () => {
  it('that does not answer ends a run with 1 within 10 s; workers wait for it and then work', async () => {
    const redis = await startRedis();
    await redis.kill();
    const silent = createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    await open({ redisUrl: redis.url, limit: 120, latency: steady(700) });
    const workers = [rig.start(['worker', '--concurrency', '40']), startEditWorker(redis.url)];
    try {
      const file = await rig.manifest(prompts(101));
      const mute = `redis://127.0.0.1:${(silent.address() as AddressInfo).port}`;
      const started = performance.now();
      const ends = await Promise.all(
        [redis.url, mute].map((url) => rig.run(['run', file, ...small], {}, { REDIS_URL: url })),
      );
      expect(performance.now() - started).toBeLessThan(10_000);
      for (const { code, stderr } of ends) {
        expect({ code, stderr }).toMatchObject({
          code: 1,
          stderr: expect.stringContaining('does not answer'),
        });
      }
      await redis.restart();
      await workersAt(redis.url, workers.length);
      // Over a hundred credits, and nobody to ask.
      const [run, drain] = await Promise.all([
        rig.run(['run', file, ...small, '--concurrency', '20']),
        rig.run(['worker', '--drain']),
      ]);
      expect(run).toMatchObject({ code: 0 });
      expect(drain).toMatchObject({ code: 0 });
      expect(rig.simulator.calls).toHaveLength(101);
      expect(new Set(rig.simulator.calls.map((call) => call.process)).size).toBeGreaterThanOrEqual(3);
      for (const worker of workers) worker.kill('SIGTERM');
      for (const { code, stderr } of await Promise.all(workers.map(({ ended }) => ended))) {
        expect({ code, stderr }).toMatchObject({
          code: 143,
          stderr: expect.stringContaining('waiting for Redis'),
        });
      }
    } finally {
      for (const worker of workers) worker.kill('SIGKILL');
      silent.close();
      await redis.close();
    }
  });
});

/** Resolves when so many processes have said to this Redis that they live. */
async function workersAt(url: string, count: number): Promise<void> {
  const redis = new Redis(url);
  try {
    await until(async () => (await redis.zcard('{reshoot}:workers')) === count);
  } finally {
    redis.disconnect();
  }
}

/** `workers/edit.ts` itself, compiled, as a container starts it. */
function startEditWorker(redisUrl: string) {
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: rig.dir,
    RESHOOT_RATE_LIMIT: '120',
    RESHOOT_RATE_WINDOW: '2000ms',
    SPIDERHUBS_API_KEY: 'sk_live_test',
    SPIDERHUBS_BASE_URL: rig.simulator.url,
    REDIS_URL: redisUrl,
  };
  const args = [built('workers/edit.js'), '--concurrency', '40'];
  const child = spawn(process.execPath, args, { cwd: rig.dir, env, stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, stderr }));
  return { kill: (signal: NodeJS.Signals) => void child.kill(signal), ended };
}

describe('what is wrong with a command', () => {
  it('is said with exit 2 before anything is written or sent, the manifest first', async () => {
    await open();
    const good = await rig.manifest(prompts(2));
    const bad = join(rig.dir, 'bad.csv');
    await writeFile(bad, 'id,image,prompt\nr1,pictures/gone.png,a scene\n');
    const bare = { SPIDERHUBS_API_KEY: '', REDIS_URL: nowhere };
    const cases: [string[], RegExp, Record<string, string>?][] = [
      [['run', good], /-o FOLDER/],
      [['run', good, ...small, '--max-attempts', '0'], /--max-attempts 0/],
      [['frobnicate'], /frobnicate/],
      [['serve'], /not yet/],
      [['report', 'out'], /no run/],
      [['run', bad, ...small], /bad\.csv:2:image.*→/, bare],
      [['run', good, ...small], /SPIDERHUBS_API_KEY/, { SPIDERHUBS_API_KEY: '' }],
      [['run', good, ...small], /RESHOOT_RATE_LIMIT/, { RESHOOT_RATE_LIMIT: 'many' }],
    ];
    const ends = await Promise.all(cases.map(([args, , env]) => rig.run(args, {}, env)));
    for (const [i, { code, stdout, stderr }] of ends.entries()) {
      expect({ code, stdout, stderr }).toMatchObject({ code: 2, stdout: '' });
      expect(stderr).toMatch(cases[i]![1]);
    }
    const dry = await rig.run(['run', good, ...small, '--dry-run', '--json'], {}, bare);
    expect(dry.code).toBe(0);
    expect(JSON.parse(dry.stdout)).toMatchObject({
      rows: 2,
      to_do: 2,
      findings: [],
      credits: { at_least: 2 },
    });
    await expect(stat(rig.out)).rejects.toThrow('ENOENT');
    expect(rig.simulator.calls).toHaveLength(0);
  });
});

describe('around a run', () => {
  it('.env is read, documents are JSON, and the report can be made again without Redis and key', async () => {
    await open();
    await writeFile(join(rig.dir, '.env'), 'SPIDERHUBS_API_KEYS=studio=sk_live_studio\n');
    const bare = { SPIDERHUBS_API_KEY: '' };
    const file = await rig.manifest(['fine', 'twice [sim:502]', 'bad [sim:policy*]'], {
      note: ['=1+1', '鞋', ''],
    });
    const run = await rig.run(['run', file, ...small, '--json'], {}, bare);
    expect(run.code).toBe(6);
    expect(new Set(rig.simulator.calls.map((call) => call.account))).toEqual(new Set(['studio']));
    expect(JSON.parse(run.stdout)).toMatchObject({
      rows: { succeeded: 2, failed: 1 },
      calls: 5,
      exit_code: 6,
    });

    const folder = join(rig.out, 'report');
    const before = await contents(folder);
    await rm(folder, { recursive: true });
    const report = await rig.run(['report', 'out', '--json'], {}, { ...bare, REDIS_URL: nowhere });
    expect(report.code).toBe(0);
    expect(JSON.parse(report.stdout)).toEqual(JSON.parse(run.stdout));
    expect(await contents(folder)).toEqual(before);

    const check = await rig.run(['check', file, '--json'], {}, { ...bare, REDIS_URL: nowhere });
    expect(check.code).toBe(0);
    expect(JSON.parse(check.stdout)).toMatchObject({ rows: 3, findings: [] });
  });
});

async function contents(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const texts = files.sort().map(async (file) => [file, await readFile(file, 'latin1')] as const);
  return Object.fromEntries(await Promise.all(texts));
}
