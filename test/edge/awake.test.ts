import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { keepAwake } from '../../src/commands/awake.ts';

const holder = fileURLToPath(new URL('../fixtures/awake-holder.ts', import.meta.url));
const tsx = import.meta.resolve('tsx');

/** A folder of programs with these two, which do what the script says. */
function programs(script: (dir: string) => string) {
  const dir = mkdtempSync(join(tmpdir(), 'reshoot-awake-'));
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
  for (const name of ['caffeinate', 'systemd-inhibit']) {
    writeFileSync(join(dir, name), `#!/bin/sh\n${script(dir)}\n`, { mode: 0o755 });
  }
  const read = (name: string): string | undefined =>
    existsSync(join(dir, name)) ? readFileSync(join(dir, name), 'utf8') : undefined;
  return { path: [dir, '/usr/bin', '/bin'].join(delimiter), read };
}

/** Runs what it is told to, as the real ones do, and writes down with what and until when. */
const faithful = (dir: string): string => `
  echo "$0 $*" > ${dir}/began
  env > ${dir}/env
  while [ "$1" != cat ]; do shift; done
  "$@"
  echo > ${dir}/ended`;

async function until(holds: () => boolean): Promise<void> {
  for (const end = performance.now() + 10_000; !holds(); await sleep(20)) {
    if (performance.now() > end) throw new Error('waited in vain');
  }
}

/** A process that keeps the computer awake, in a group of its own, with a key in its environment. */
async function startHolder(path: string) {
  const child: ChildProcess = spawn(process.execPath, ['--import', tsx, holder, path], {
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env['PATH'], SPIDERHUBS_API_KEY: 'sk_live_secret' },
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const line = async (): Promise<string> => String((await lines.next()).value);
  return { how: await line(), line, pid: child.pid! };
}

describe('keepAwake', () => {
  it('begins and ends with what the system has, and hands it no key', async () => {
    const { path, read } = programs(faithful);
    const { how, line, pid } = await startHolder(path);
    expect(how).toBe('systemd-inhibit');
    expect(read('began')).toMatch(/systemd-inhibit --what=idle:sleep --who=reshoot .*--mode=block cat\n$/);
    expect(read('env')).toContain('PATH=');
    expect(read('env')).not.toContain('sk_live');
    await sleep(100);
    expect(read('ended')).toBeUndefined();
    process.kill(pid, 'SIGUSR2');
    expect(await line()).toBe('released');
    await until(() => read('ended') !== undefined);
  });

  it('outlives the Ctrl-C of a terminal, and ends when its process is killed', async () => {
    const { path, read } = programs(faithful);
    const { line, pid } = await startHolder(path);
    process.kill(-pid, 'SIGINT');
    expect(await line()).toBe('SIGINT');
    await sleep(200);
    expect(read('ended')).toBeUndefined();
    process.kill(pid, 'SIGKILL');
    await until(() => read('ended') !== undefined);
  });

  it('uses caffeinate on macOS', async () => {
    const { path, read } = programs(faithful);
    const { how, release } = await keepAwake(path, 'darwin');
    expect(how).toBe('caffeinate');
    expect(read('began')).toMatch(/caffeinate -i cat\n$/);
    release();
    release();
    await until(() => read('ended') !== undefined);
  });

  it('says so where the program is missing, fails at once, or the system has none', async () => {
    const failing = programs((dir) => `echo > ${dir}/began; exit 1`);
    for (const attempt of [
      keepAwake('/nowhere'),
      keepAwake(failing.path, 'linux'),
      keepAwake(failing.path, 'freebsd'),
    ]) {
      const { how, release } = await attempt;
      expect(how).toBeUndefined();
      release();
    }
    expect(failing.read('began')).toBeDefined();
  });

  it('gives up, and leaves nothing behind, where the program neither works nor ends', async () => {
    const hanging = programs((dir) => `echo $$ > ${dir}/began; sleep 60; echo > ${dir}/ended`);
    const before = performance.now();
    expect((await keepAwake(hanging.path, 'linux')).how).toBeUndefined();
    expect(performance.now() - before).toBeLessThan(10_000);
    const pid = Number(hanging.read('began'));
    await until(() => !isAlive(-pid));
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
