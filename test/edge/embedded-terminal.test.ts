import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Redis } from 'ioredis';
import { familyOf, isAlive } from '../fixtures/embedded-state.ts';
import { createRig, prompts, small, until, type Rig } from '../fixtures/rig.ts';

const entry = fileURLToPath(new URL('../fixtures/reshoot.ts', import.meta.url));
let rig: Rig;

beforeEach(async () => {
  // With four in flight at any time: a call takes one and a half windows.
  rig = await createRig({ limit: 4, windowMs: 1000, latency: { min: 1500, max: 1500 } });
});
afterEach(() => rig.close());

const charged = (): number => rig.simulator.calls.filter((call) => call.charged).length;

/** What the embedded server says of itself; a connection that is no command's, so that it holds nobody up. */
async function server(): Promise<{ pid: number; runId: string }> {
  const path = join(rig.dir, 'state', 'redis', 'redis.sock');
  const redis = new Redis({ path, retryStrategy: () => null, lazyConnect: true });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    const info = await redis.info('server');
    const of = (name: string): string => new RegExp(`^${name}:(\\S+)`, 'm').exec(info)?.[1] ?? '';
    return { pid: Number(of('process_id')), runId: of('run_id') };
  } finally {
    redis.disconnect();
  }
}

/** The helper process that decodes pictures for this one, if it runs yet. */
async function decoderOf(parent: number): Promise<number | undefined> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const stat = await readFile(`/proc/${name}/stat`, 'latin1').catch(() => '');
    if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) !== parent) continue;
    const command = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (command.includes('workers/decode')) return Number(name);
  }
  return undefined;
}

/** Runs reshoot in a terminal of its own. */
function inTerminal(args: string[]) {
  const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
  const words = [process.execPath, '--import', import.meta.resolve('tsx'), entry, ...args];
  // The shell says which process it becomes.
  const command = `echo pid=$$; exec ${words.map(quoted).join(' ')}`;
  const child = spawn('script', ['-qefc', command, '/dev/null'], {
    cwd: rig.dir,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: rig.dir,
      SHELL: '/bin/sh',
      RESHOOT_STATE_DIR: join(rig.dir, 'state'),
      RESHOOT_RATE_LIMIT: '4',
      RESHOOT_RATE_WINDOW: '1000ms',
      SPIDERHUBS_API_KEY: 'sk_live_test',
      SPIDERHUBS_BASE_URL: rig.simulator.url,
    },
  });
  let screen = '';
  child.stdout.on('data', (chunk: Buffer) => (screen += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  return {
    ended,
    screen: () => screen,
    pid: () => Number(/pid=(\d+)/.exec(screen)?.[1]),
    press: (keys: string) => void child.stdin.write(keys),
    kill: () => void child.kill('SIGKILL'),
  };
}

/** Has this system util-linux's `script`, which makes a terminal? */
const hasScript = await new Promise<boolean>((resolve) => {
  const child = spawn('script', ['--version'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.on('error', () => resolve(false));
  child.on('close', () => resolve(said.includes('util-linux')));
});

it('Ctrl-C in a terminal reaches neither the embedded Redis nor the decoder: calls in flight are finished and kept', async ({
  skip,
}) => {
  if (!hasScript) skip('this system has no util-linux `script` to make a terminal');
  const terminal = inTerminal(['run', await rig.manifest(prompts(30)), ...small]);
  try {
    let decoder: number | undefined;
    // The helper that looked at the manifest's pictures is gone by then.
    await until(() => rig.atWork() >= 3);
    await until(async () => (decoder ??= await decoderOf(terminal.pid())) !== undefined);
    const { pid } = await server();
    const run = await familyOf(terminal.pid());
    expect(run.terminal).not.toBe(0);
    for (const helper of [pid, decoder!]) {
      expect(await familyOf(helper)).toEqual({ group: helper, session: helper, terminal: 0 });
    }

    const sent = rig.simulator.inFlight;
    terminal.press('\x03');
    await until(() => terminal.screen().includes('SIGINT: no further call'));
    expect(rig.simulator.inFlight).toBeGreaterThan(0);
    // It is told and lives: the calls that were sent are answered, decoded and kept.
    await until(() => rig.simulator.inFlight === 0);
    expect(await isAlive(pid)).toBe(true);
    expect(await terminal.ended).toBe(130);
    expect(sent).toBeGreaterThanOrEqual(3);

    const { rows, exit_code: written } = await rig.summary();
    expect(written).toBe(130);
    expect(rows).toMatchObject({
      succeeded: charged(),
      not_attempted: 30 - charged(),
    });
    expect(charged()).toBeGreaterThanOrEqual(sent);
    for (const { status, credits } of await rig.results())
      expect(credits).toBe(status === 'succeeded' ? 1 : 0);
    // The last one out has stopped it, and took its helper along.
    expect(await isAlive(pid)).toBe(false);
    await until(async () => !(await isAlive(decoder!)));
    expect(await readdir(join(rig.dir, 'state', 'redis'))).toEqual([
      'appendonlydir',
      'redis.log',
      'server.json',
    ]);
  } finally {
    terminal.kill();
    await terminal.ended;
  }
});

it('a killed run leaves the embedded Redis to the next one, which adopts it and goes on', async () => {
  const file = await rig.manifest(prompts(8));
  const run = rig.start(['run', file, ...small]);
  await until(() => rig.atWork() >= 3);
  const orphan = await server();
  run.kill('SIGKILL');
  expect((await run.ended).signal).toBe('SIGKILL');
  expect(await server()).toEqual(orphan);

  const next = rig.start(['run', file, ...small]);
  await until(() => rig.simulator.inFlight > 0 && rig.simulator.calls.length > 4);
  expect(await server()).toEqual(orphan);
  expect(await next.ended).toMatchObject({
    code: 0,
    stderr: expect.stringContaining('was cut off and goes on'),
  });
  expect((await rig.summary()).rows).toMatchObject({ succeeded: 8 });
  expect(await isAlive(orphan.pid)).toBe(false);
});

it('a run goes on when its embedded Redis is killed under it', async () => {
  const file = await rig.manifest(prompts(10));
  const run = rig.start(['run', file, ...small]);
  await until(() => rig.atWork() >= 3);
  const { pid } = await server();
  process.kill(pid, 'SIGKILL');
  await until(async () => (await server().catch(() => ({ pid }))).pid !== pid);
  expect(await run.ended).toMatchObject({ code: 0 });
  expect((await rig.summary()).rows).toMatchObject({ succeeded: 10 });
  // None was paid for twice.
  expect(charged()).toBe(10);
});
