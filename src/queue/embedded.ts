import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { link, lstat, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { SurroundingsError, systemCode, toError, UsageError } from '../errors.ts';
import type { Log } from '../log.ts';
import { livesHere, ownerSchema, self } from '../owner.ts';
import { connect, withDeadline } from './connect.ts';

/** Longer paths don't fit into a socket's address on every system. */
const longestSocketPath = 103;

/** How long a start or a stop of somebody else is waited for. */
const patienceMs = 10_000;

/** How long a new server may take until it listens, and a server that is left to say who else uses it. */
const startMs = 5000;
const byeMs = 2000;

/** No socket, or one whose server is dead. */
const nobodyThere = new Set(['ENOENT', 'ECONNREFUSED']);

/** Where the user's own Redis lives and is looked for. */
export interface Places {
  stateDir: string;
  /** Where a socket goes whose path in the state folder would be too long. */
  runtimeDir: string | undefined;
  /** The folders of programs, as in PATH. */
  searchPath: string;
}

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
 * @throws UsageError when there is no redis-server
 * @throws SurroundingsError when it doesn't start
 */
export async function openEmbedded(places: Places, log: Log): Promise<Embedded> {
  const { stateDir, runtimeDir, searchPath } = places;
  const folder = join(stateDir, 'redis');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const address = await socketPath(folder, runtimeDir);
  const redis = await locked(folder, async () => {
    if (!(await isListening(address))) await start(folder, address, searchPath);
    return connect(address, log);
  });
  return {
    redis,
    address,
    leave: () =>
      locked(folder, async () => {
        const alone = await withDeadline(isAlone(redis), byeMs).catch(() => false);
        if (alone) await shutDown(redis);
      }).finally(() => redis.disconnect()),
  };
}

async function socketPath(folder: string, runtimeDir: string | undefined): Promise<string> {
  const inState = join(folder, 'redis.sock');
  if (Buffer.byteLength(inState) <= longestSocketPath) return inState;
  const name = `reshoot-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}`;
  const { uid } = userInfo();
  const elsewhere = join(runtimeDir ?? tmpdir(), `${name}-${uid}`);
  await mkdir(elsewhere, { recursive: true, mode: 0o700 });
  // Anybody may have made a folder of that name in /tmp, and would then own the socket.
  const found = await lstat(elsewhere);
  if (!found.isDirectory() || found.uid !== uid)
    throw new UsageError(`${elsewhere} belongs to somebody else: set RESHOOT_STATE_DIR to a shorter path`);
  return join(elsewhere, 'redis.sock');
}

/** Is there a server behind the socket, be it loading or frozen? Then no second one may be started. */
function isListening(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => resolve(!nobodyThere.has(systemCode(error) ?? '')));
  });
}

async function start(folder: string, address: string, searchPath: string): Promise<void> {
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
  await spawnFirst(['redis-server', 'valkey-server'], options, searchPath);
  for (const until = performance.now() + startMs; performance.now() < until; await sleep(10)) {
    if (await isListening(address)) return;
  }
  throw new SurroundingsError(`redis-server was started in ${folder} but does not answer on ${address}`);
}

async function spawnFirst(programs: string[], options: string[], searchPath: string): Promise<void> {
  for (const program of programs) {
    // An orphan that held our stderr would keep a pipe open for ever; one with our environment would keep the key.
    const server = spawn(program, options, { detached: true, stdio: 'ignore', env: { PATH: searchPath } });
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
  if (await claim(file)) return true;
  if (await isDead(file)) await breakLock(file);
  return false;
}

/** Under a claim of its own: else the slower of two who saw the dead lock would remove the quicker one's new lock. */
async function breakLock(file: string): Promise<void> {
  const breaking = `${file}.breaking`;
  if (await claim(breaking)) {
    if (await isDead(file)) await rm(file, { force: true });
    await rm(breaking, { force: true });
  } else if (await isDead(breaking)) {
    await rm(breaking, { force: true });
  }
}

/** Writes our name beside and links it, so that nobody ever sees a file without its owner. False: it is taken. */
async function claim(file: string): Promise<boolean> {
  const mine = `${file}.${randomUUID()}`;
  try {
    await writeFile(mine, JSON.stringify(self), { mode: 0o600 });
    await link(mine, file);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw new SurroundingsError(toError(error).message, { cause: error });
  } finally {
    await rm(mine, { force: true });
  }
}

/** Has the lock's owner ended? A lock that nobody wrote whole counts as dead, one that is gone does not. */
async function isDead(file: string): Promise<boolean> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return false;
  try {
    return livesHere(ownerSchema.parse(JSON.parse(text))) === false;
  } catch {
    return true;
  }
}
