import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import type { SimulatedCall } from '../../src/simulator/call-log.ts';
import { freePort } from '../../test/fixtures/redis.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const bin = join(root, 'dist/src/bin.js');
/** A process that does not end when it is told to is killed after this long. */
const patienceMs = 30_000;

/** Resolves to the exit code; null: it was killed. */
export async function stopped(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const killing = setTimeout(() => child.kill('SIGKILL'), patienceMs);
    await ended;
    clearTimeout(killing);
  }
  return child.exitCode;
}

/** A redis-server of its own, set up as the README wants it. */
export async function startRedis(dir: string): Promise<{ url: string; redis: Redis; child: ChildProcess }> {
  const port = await freePort();
  const options = {
    port,
    bind: '127.0.0.1',
    dir,
    save: '',
    appendonly: 'yes',
    'maxmemory-policy': 'noeviction',
  };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  await once(child, 'spawn');
  const url = `redis://127.0.0.1:${port}`;
  const redis = new Redis(url, { retryStrategy: (times) => (times > 100 ? null : 50) });
  redis.on('error', () => undefined);
  await redis.ping();
  return { url, redis, child };
}

/** What the simulator did, which is the truth. */
export interface Tally {
  calls: number;
  charged: number;
  /** Calls over the limit. The 429s of the faults are none of them. */
  refused: number;
  outcomes: Record<string, number>;
}

export interface SimulatorProcess {
  url: string;
  child: ChildProcess;
  tally: Tally;
  /** Resolves when all that it said has been read. */
  ended: Promise<unknown>;
}

/** `reshoot simulate` as a process of its own. */
export async function startSimulator(
  dir: string,
  options: Record<string, string>,
): Promise<SimulatorProcess> {
  const args = Object.entries({ port: '0', ...options }).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn(process.execPath, [bin, 'simulate', ...args], {
    cwd: dir,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const tally: Tally = { calls: 0, charged: 0, refused: 0, outcomes: {} };
  createInterface(child.stdout).on('line', (line) => count(tally, JSON.parse(line) as SimulatedCall));
  const ended = once(child, 'close');
  const [introduction] = (await Promise.race([once(child.stderr, 'data'), ended])) as [Buffer | number];
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(String(introduction))?.[0];
  if (url === undefined) throw new Error(`the simulator does not start: ${String(introduction)}`);
  return { url, child, tally, ended };
}

function count(tally: Tally, { outcome, charged }: SimulatedCall): void {
  tally.calls += 1;
  if (charged) tally.charged += 1;
  if (outcome === 'rate_limited') tally.refused += 1;
  tally.outcomes[outcome] = (tally.outcomes[outcome] ?? 0) + 1;
}

/** As many as the real API lets start at once: time can be compressed, the work of starting them can't. */
const inFlight = '30';

export interface WorkerProcess {
  child: ChildProcess;
  pid: number;
  /** Bytes of its heap that are in use when all garbage is collected. */
  heapUsed(): Promise<number>;
}

/** `reshoot worker`, the process that is measured; what it logs goes to `worker.log`. */
export async function startWorker(dir: string, env: NodeJS.ProcessEnv): Promise<WorkerProcess> {
  const log = openSync(join(dir, 'worker.log'), 'w');
  const probe = new URL('probe.js', import.meta.url).href;
  const child = spawn(process.execPath, ['--import', probe, bin, 'worker', '--concurrency', inFlight], {
    cwd: dir,
    env,
    stdio: ['ignore', log, log, 'ipc'],
  });
  closeSync(log);
  await once(child, 'spawn');
  return {
    child,
    pid: child.pid ?? 0,
    async heapUsed() {
      child.send('collect');
      const [bytes] = (await once(child, 'message')) as [number];
      return bytes;
    },
  };
}

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A command of reshoot from its start to its end. @throws AbortError when it is stopped */
export async function reshoot(
  args: string[],
  dir: string,
  env: NodeJS.ProcessEnv,
  stop: AbortSignal,
): Promise<Ended> {
  const child = spawn(process.execPath, [bin, ...args], { cwd: dir, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const leave = (): boolean => child.kill('SIGKILL');
  stop.addEventListener('abort', leave);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, 'close');
  stop.removeEventListener('abort', leave);
  stop.throwIfAborted();
  return { code: child.exitCode, stdout, stderr };
}
