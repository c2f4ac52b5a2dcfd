import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { startRedis } from '../../test/fixtures/redis.ts';

/** A call as the server saw it. */
export interface Call {
  /** Its arrival, in epoch milliseconds with a fraction. */
  at: number;
  /** From its arrival to its answer. */
  ms: number;
  status: number;
}

/** A server in a process of its own. */
export interface Server {
  url: string;
  /** Those that have ended, in the order of their ends. */
  calls: Call[];
  /** Resolves with the first call. */
  first: Promise<Call>;
  close(): Promise<void>;
}

const path = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

/** What a server lets in, and how long each call takes. */
export interface Limit {
  calls: number;
  windowMs: number;
  latencyMs: number;
}

/** The built-in simulator, by its own command: refused calls count too. */
export function startSimulator({ calls, windowMs, latencyMs }: Limit): Promise<Server> {
  const options = { port: 0, latency: `${latencyMs}ms`, limit: calls, window: `${windowMs}ms` };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return startServer([path('../../dist/src/bin.js'), 'simulate', ...args]);
}

/** Answers with this picture: at once, or by a limit that doesn't count refused calls. */
export function startPlainServer(picture: string, limit?: Limit): Promise<Server> {
  const numbers = limit ? [limit.calls, limit.windowMs, limit.latencyMs] : [];
  return startServer(['--import', 'tsx', path('plain-server.ts'), picture, ...numbers.map(String)]);
}

async function startServer(args: string[]): Promise<Server> {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const calls: Call[] = [];
  const first = new Promise<Call>((resolve) => {
    createInterface(child.stdout).on('line', (line) => {
      const call = JSON.parse(line) as Call;
      calls.push(call);
      resolve(call);
    });
  });
  return { url: await urlOf(child), calls, first, close: () => stop(child) };
}

/** Both servers say their address on stderr, in words. */
function urlOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
      if (url !== undefined) resolve(url);
    });
    child.once('exit', () => reject(new Error(`a server of the benchmark ended at its start: ${said}`)));
  });
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

/** A Redis for one contender alone. */
export interface Desk {
  url: string;
  /** Since its start. */
  spent(): Promise<{ operations: number; cpuMs: number }>;
  close(): Promise<void>;
}

export async function startDesk(): Promise<Desk> {
  const server = await startRedis();
  const redis = new Redis(server.url);
  await redis.config('RESETSTAT');
  const before = await cpuOf(redis);
  return {
    url: server.url,
    spent: async () => ({
      operations: await operationsOf(redis),
      cpuMs: (await cpuOf(redis)) - before,
    }),
    async close() {
      redis.disconnect();
      await server.close();
    },
  };
}

/** Commands, those inside of scripts included; without our own INFO and CONFIG. */
async function operationsOf(redis: Redis): Promise<number> {
  const lines = (await redis.info('commandstats')).matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm);
  const counted = [...lines].filter(([, name = '']) => !/^(info|config)\b/.test(name));
  return counted.reduce((sum, [, , calls]) => sum + Number(calls), 0);
}

async function cpuOf(redis: Redis): Promise<number> {
  const seconds = (await redis.info('cpu')).matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm);
  return [...seconds].reduce((sum, [, value]) => sum + Number(value) * 1000, 0);
}
