import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SimulatedCall } from '../../src/simulator/call-log.ts';
import { expectSound } from '../checker/expect.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** A copy of what the script needs, whose compose file a test may spoil. */
let copy: string;
/** What it works in. */
let work: string;

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'reshoot-wired-'));
  work = join(copy, 'work');
  await cp(join(root, 'scripts'), join(copy, 'scripts'), { recursive: true });
  await cp(join(root, 'examples'), join(copy, 'examples'), { recursive: true });
  for (const name of ['dist', 'node_modules', 'package.json', 'Dockerfile']) {
    await symlink(join(root, name), join(copy, name));
  }
});
afterAll(() => rm(copy, { recursive: true, force: true }));

async function wire(mend: (compose: string) => string): Promise<{ code: number | null; said: string }> {
  const compose = await readFile(join(root, 'docker-compose.yml'), 'utf8');
  await writeFile(join(copy, 'docker-compose.yml'), mend(compose));
  await mkdir(work);
  const child = spawn(process.execPath, [join(copy, 'scripts/wiring.js'), work], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await once(child, 'close');
  return { code: child.exitCode, said };
}

/** The processes that the script said it started, which still run. */
function survivors(said: string): string[] {
  const pids = [...said.matchAll(/^[\w-]+, process (\d+): /gm)].map(([, pid = '']) => pid);
  expect(pids.length).toBeGreaterThan(0);
  return pids.filter((pid) => spawnSync('kill', ['-0', pid]).status === 0);
}

describe('docker-compose.yml', () => {
  it('wires a Redis, a simulator, two workers and a run, which share the rows and end', async () => {
    const { code, said } = await wire((compose) => compose);
    expect(said).toContain('14 rows: 13 succeeded, 1 failed');
    expect(said.match(/^demo-worker, process \d+: [1-9]\d* pictures$/gm)).toHaveLength(2);
    expect(said).toMatch(/^demo, process \d+: [1-9]\d* pictures$/m);
    expect(code).toBe(0);
    expect(survivors(said)).toEqual([]);
    const log = await readFile(join(work, 'simulator.jsonl'), 'utf8');
    await expectSound(join(work, 'demo'), {
      api: log
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as SimulatedCall),
      limit: { calls: 30, windowMs: 60_000, slackMs: 500 },
      commands: [],
      redis: new Map(),
      namespace: 'reshoot',
      secrets: ['sk_live_demo'],
    });
    await rm(work, { recursive: true });
  });

  it('is refused when a command of it is wrong, and nothing is left running', async () => {
    const { code, said } = await wire((compose) => compose.replace('catalogue.csv', 'catalog.csv'));
    expect(said).toContain('the run ended with 2');
    expect(code).toBe(1);
    expect(survivors(said)).toHaveLength(0);
  });
});
