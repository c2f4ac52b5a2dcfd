import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { startSimulator, type Simulator } from '../../src/simulator/server.ts';
import { expectSound } from '../checker/expect.ts';
import { built } from '../fixtures/build.ts';
import { picture } from '../fixtures/rig.ts';

let dir: string;
let simulator: Simulator;
const key = 'sk_live_piped';

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'reshoot-piped-'));
  simulator = await startSimulator({ latency: { min: 10, max: 10 } });
  for (const name of ['a.png', 'b.png'])
    await writeFile(join(dir, name), await picture(name === 'a.png' ? '#c33' : '#36c'));
});
afterEach(async () => {
  try {
    await expectSound(dir, {
      api: simulator.calls,
      limit: { calls: 30, windowMs: 60_000, slackMs: 500 },
      commands: [],
      redis: new Map(),
      namespace: 'reshoot',
      secrets: [key],
    });
  } finally {
    await simulator.close();
    await rm(dir, { recursive: true, force: true });
  }
});

/** Runs the command with this on its standard input. */
function piped(input: string | Buffer, ...args: string[]): Promise<{ code: number | null; said: string }> {
  const env = {
    PATH: process.env['PATH'],
    HOME: dir,
    RESHOOT_STATE_DIR: join(dir, 'state'),
    SPIDERHUBS_BASE_URL: simulator.url,
    SPIDERHUBS_API_KEY: key,
  };
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [built('src/bin.js'), ...args],
      { cwd: dir, env },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, said: stdout + stderr }),
    );
    child.stdin?.end(input);
  });
}

const table = 'id,image,prompt\n1,a.png,one\n2,b.png,two\n';

it('a manifest on standard input is run, and gone on with by the same one', async () => {
  expect(await piped(table, 'run', '-', '--format', 'csv', '-o', 'out')).toMatchObject({
    code: 0,
    said: expect.stringContaining('2 succeeded'),
  });
  expect(await piped(gzipSync(table), 'run', '-', '--format', 'csv', '-o', 'out')).toMatchObject({
    code: 0,
    said: expect.stringContaining('2 skipped'),
  });
  expect(simulator.calls).toHaveLength(2);
});

it('what is wrong with it is told by its lines; without a format, or with nothing in it, it is refused', async () => {
  const wrong = await piped(`${table}3,c.png,three\n`, 'check', '-', '--format', 'csv');
  expect(wrong).toMatchObject({ code: 2, said: expect.stringContaining('standard input:4:image: "c.png"') });
  expect(await piped(table, 'run', '-', '-o', 'out')).toMatchObject({
    code: 2,
    said: expect.stringContaining('--format'),
  });
  expect(await piped('', 'check', '-', '--format', 'csv')).toMatchObject({
    code: 2,
    said: expect.stringContaining('standard input is empty'),
  });
  expect(simulator.calls).toEqual([]);
});
