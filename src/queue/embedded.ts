import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { SurroundingsError, systemCode, toError, UsageError } from '../errors.ts';
import type { Log } from '../log.ts';
import { livesHere, ownerSchema, self } from '../owner.ts';
import { connect } from './connect.ts';

/** Longer paths don't fit into a socket's address on every system. */
const longestSocketPath = 103;

/** How long a start or a stop of somebody else is waited for, and how long our own server may take. */
const patienceMs = 10_000;

export interface Embedded {
  redis: Redis;
  /** The socket's path, for further connections. */
  address: string;
  /** Closes `redis`, and stops the server when nobody else uses it. */
  leave(): Promise<void>;
}

/**
 * The user's own Redis: adopts the one that runs on the state folder's socket, else starts it, detached so that
 * Ctrl-C in a terminal doesn't reach it. Looking and starting, and leaving and stopping, happen under one lock file:
 * redis-server itself would take over a living server's socket and its append-only file.
 * @param runtimeDir where a socket goes whose path in the state folder would be too long
 * @throws UsageError when there is no redis-server
 * @throws SurroundingsError when it doesn't start
 */
export async function openEmbedded(
  stateDir: string,
  runtimeDir: string | undefined,
  log: Log,
): Promise<Embedded> {
  const folder = join(stateDir, 'redis');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const address = await socketPath(folder, runtimeDir);
  const redis = await locked(folder, async () => (await adopt(address, log)) ?? start(folder, address, log));
  return {
    redis,
    address,
    leave: () =>
      locked(folder, async () => {
        if (await isAlone(redis)) await shutDown(redis);
        redis.disconnect();
      }),
  };
}

async function socketPath(folder: string, runtimeDir: string | undefined): Promise<string> {
  const inState = join(folder, 'redis.sock');
  if (Buffer.byteLength(inState) <= longestSocketPath) return inState;
  const name = `reshoot-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`;
  const elsewhere = join(runtimeDir ?? tmpdir(), `${name}-${userInfo().uid}`);
  await mkdir(elsewhere, { recursive: true, mode: 0o700 });
  return join(elsewhere, 'redis.sock');
}

async function adopt(address: string, log: Log): Promise<Redis | undefined> {
  try {
    return await connect(address, log);
  } catch {
    return undefined;
  }
}

async function start(folder: string, address: string, log: Log): Promise<Redis> {
  const options = [
    ['--port', '0'],
    ['--unixsocket', address],
    ['--unixsocketperm', '700'],
    ['--dir', folder],
    ['--appendonly', 'yes'],
    ['--appendfsync', 'everysec'],
    ['--save', ''],
    ['--maxmemory-policy', 'noeviction'],
  ].flat();
  await spawnFirst(['redis-server', 'valkey-server'], options);
  for (const until = performance.now() + patienceMs; performance.now() < until; await sleep(10)) {
    const redis = await adopt(address, log);
    if (redis) return redis;
  }
  throw new SurroundingsError(`redis-server was started in ${folder} but does not answer on ${address}`);
}

async function spawnFirst(programs: string[], options: string[]): Promise<void> {
  for (const program of programs) {
    // An orphan that held our stderr would keep a pipe open for ever.
    const server = spawn(program, options, { detached: true, stdio: 'ignore' });
    const missing = await new Promise<boolean>((resolve) => {
      server.once('spawn', () => resolve(false));
      server.once('error', () => resolve(true));
    });
    server.unref();
    if (!missing) return;
  }
  throw new UsageError(
    'There is no Redis on this machine. Three ways out: install it (scripts/redis.sh does, or: apt-get install ' +
      'redis-server, brew install redis), run it with "docker compose up -d redis", or set REDIS_URL to one that runs.',
  );
}

/** The server closes the connection instead of answering; the append-only file is flushed before. */
async function shutDown(redis: Redis): Promise<void> {
  const gone = new Promise((resolve) => redis.once('close', resolve));
  redis.shutdown('NOSAVE').catch(() => undefined);
  await Promise.race([gone, sleep(5000, undefined, { ref: false })]);
}

/** Are all connections to the server this one? Ours that were just closed take a moment to go. */
async function isAlone(redis: Redis): Promise<boolean> {
  for (let tries = 0; tries < 10; tries++) {
    const clients = await redis.call('CLIENT', 'LIST').then(String, () => undefined);
    if (clients === undefined) return false;
    if (clients.trim().split('\n').length === 1) return true;
    await sleep(20);
  }
  return false;
}

/** Runs the work while no other process of this user starts or stops the server. */
async function locked<T>(folder: string, work: () => Promise<T>): Promise<T> {
  const file = join(folder, 'lock');
  for (const until = performance.now() + patienceMs; !(await takeLock(file)); await sleep(10)) {
    if (performance.now() > until)
      throw new SurroundingsError(`${file} is held by another reshoot for too long`);
  }
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function takeLock(file: string): Promise<boolean> {
  try {
    const handle = await open(file, 'wx', 0o600);
    await handle.writeFile(JSON.stringify(self));
    await handle.close();
    return true;
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw new SurroundingsError(toError(error).message, { cause: error });
    await breakDeadLock(file);
    return false;
  }
}

/** A lock whose process is dead goes. One that is still empty is being written, or its writer died in that moment. */
async function breakDeadLock(file: string): Promise<void> {
  const read = (): Promise<string> => readFile(file, 'utf8').catch(() => '');
  const text = (await read()) || (await sleep(200).then(read));
  if (text === '') return rm(file, { force: true });
  const owner = ownerSchema.safeParse(JSON.parse(text));
  if (!owner.success || livesHere(owner.data) === false) await rm(file, { force: true });
}
