import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { expectSound } from '../checker/expect.ts';

const script = fileURLToPath(new URL('../../scripts/demo.js', import.meta.url));
const examples = fileURLToPath(new URL('../../examples/', import.meta.url));

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'reshoot-demo-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

it('shows the sample catalogue, whatever key and Redis the user has', async () => {
  // Stands for the real API and the user's Redis: nobody may knock.
  let knocks = 0;
  const trap = createServer().listen(0, '127.0.0.1');
  trap.on('connection', () => knocks++);
  await once(trap, 'listening');
  const { port } = trap.address() as AddressInfo;
  const own = {
    SPIDERHUBS_BASE_URL: `http://127.0.0.1:${port}`,
    REDIS_URL: `redis://127.0.0.1:${port}`,
    RESHOOT_STATE_DIR: join(dir, 'own-state'),
    RESHOOT_RATE_LIMIT: '1',
  };
  const dotEnv = { ...own, SPIDERHUBS_API_KEYS: 'mine=sk_live_mine', SPIDERHUBS_API_KEY_FILE: '/nowhere' };
  await writeFile(
    join(dir, '.env'),
    Object.entries(dotEnv)
      .map((pair) => pair.join('='))
      .join('\n'),
  );

  const env = { ...process.env, ...own, SPIDERHUBS_API_KEY: 'sk_live_mine' };
  const child = spawn(process.execPath, [script], {
    cwd: dir,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 90_000,
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await once(child, 'close');
  trap.close();

  expect(child.exitCode).toBe(0);
  expect(knocks).toBe(0);
  expect(said).toContain('13 of 14 rows have their picture, 1 failed');
  expect(said.match(/needed a second call: /g)).toHaveLength(2);
  expect(said).toMatch(/CAM-013 failed for good: unprocessable/);
  const output = /Pictures {2}(\S+)\/\n/.exec(said)?.[1] ?? '';
  const files = await readdir(join(dir, output));
  expect(files.filter((name) => name.endsWith('.jpg'))).toHaveLength(13);
  expect(files).toContain('手表-006.jpg');
  await access(join(dir, /Report {4}(\S+)\n/.exec(said)?.[1] ?? ''));
  expect((await readdir(dir)).sort()).toEqual(['.env', 'demo']);
  const limit = { calls: 1, windowMs: 0, slackMs: 0 };
  const left = {
    api: [],
    limit,
    commands: [],
    redis: new Map(),
    namespace: '',
    secrets: ['sk_live_mine', 'sk_live_demo'],
  };
  await expectSound(join(dir, 'demo'), left, { I3: "the simulator's log ended with the script" });
});

describe('the sample pictures', () => {
  it('are whole, small, of three types, and on a plain ground', async () => {
    const names = await readdir(join(examples, 'pictures'));
    expect(names.length).toBeGreaterThanOrEqual(12);
    const types = new Set<string>();
    for (const name of names) {
      const bytes = await readFile(join(examples, 'pictures', name));
      expect(bytes.length, name).toBeLessThan(120_000);
      const { data, info } = await sharp(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true });
      expect(Math.max(info.width, info.height), name).toBeGreaterThanOrEqual(800);
      expect(Math.min(...data.subarray(0, info.width * 3)), `${name}: its upper edge`).toBeGreaterThan(225);
      types.add((await sharp(bytes).metadata()).format);
    }
    expect([...types].sort()).toEqual(['jpeg', 'png', 'webp']);
  });
});
