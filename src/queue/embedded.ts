import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { SurroundingsError, toError } from '../errors.ts';
import type { Log } from '../log.ts';
import { connect, withDeadline, type ConnectOptions } from './connect.ts';
import { lastServer, openHome, worksIn, type Home } from './home.ts';
import { locked } from './lock.ts';
import { isListening, startServer, type StartOptions } from './server.ts';

/** How long a server that ends is waited for, and one that is left to say who else uses it. */
const endMs = 5000;
const byeMs = 2000;

/** The main connection of every living command has a name that begins so. */
const users = 'reshoot:';

/** Where the user's own Redis lives and is looked for. */
export interface Places {
  stateDir: string;
  /** Where a socket goes whose path in the state folder would be too long. */
  runtimeDir: string | undefined;
  /** The folders of programs, as in PATH. */
  searchPath: string;
  /** The throttle's window. */
  rateWindowMs: number;
}

export interface Embedded {
  redis: Redis;
  /** The socket's path, for further connections. */
  address: string;
  /** Closes `redis`, and stops the server when nobody else uses it. */
  leave(): Promise<void>;
}

/**
 * The user's own Redis: adopts the one that runs for the state folder, else starts it, and starts it again when it
 * ends before this command does. Looking and starting, and leaving and stopping, happen under one lock file:
 * redis-server itself would take over a living server's socket and its append-only file.
 * @param lastWord is said to the server right before it is stopped: it keeps everything
 * @throws UsageError when there is no redis-server, or the state folder is somebody else's
 * @throws SurroundingsError when it doesn't start or can't write
 */
export async function openEmbedded(
  places: Places,
  log: Log,
  answerMs?: number,
  lastWord: (redis: Redis) => Promise<void> = () => Promise.resolve(),
): Promise<Embedded> {
  const home = await openHome(places.stateDir, places.runtimeDir);
  const options = { home, searchPath: places.searchPath, rateWindowMs: places.rateWindowMs, log };
  const name = `${users}${process.pid}:${randomUUID()}`;
  const underLock = <T>(work: () => Promise<T>): Promise<T> => locked(join(home.folder, 'lock'), work);

  const { redis, address } = await meet(options, { name, answerMs }, underLock);
  await expectRoom(redis, home).catch(async (error: unknown) => {
    await underLock(() => part(redis, lastWord));
    throw error;
  });

  let leaving = false;
  let reviving = false;
  const revive = async (): Promise<void> => {
    if (reviving || leaving) return;
    reviving = true;
    const work = async (): Promise<unknown> => (leaving ? undefined : reach(options));
    await underLock(work).catch((error: unknown) =>
      log.warn({ error: toError(error).message }, 'the private Redis is gone'),
    );
    reviving = false;
  };
  // It was killed, or stopped by a command that did not see ours.
  redis.on('reconnecting', () => void revive());

  return {
    redis,
    address,
    async leave() {
      leaving = true;
      await underLock(() => part(redis, lastWord)).finally(() => redis.disconnect());
    },
  };
}

/** Knocks outside the lock: a server that doesn't answer must not hold up those who only wait for the lock. */
async function meet(
  options: StartOptions,
  knock: ConnectOptions,
  underLock: <T>(work: () => Promise<T>) => Promise<T>,
): Promise<{ redis: Redis; address: string }> {
  const address = await underLock(() => reach(options));
  const pid = (await lastServer(options.home))?.pid;
  try {
    return { redis: await connect(address, options.log, knock), address };
  } catch (error) {
    // Its last user left while we knocked, and perhaps another has come since.
    const isSame = async (): Promise<boolean> =>
      (await isListening(address)) && (await lastServer(options.home))?.pid === pid;
    if (!(await underLock(isSame))) return meet(options, knock, underLock);
    throw new SurroundingsError(
      `${toError(error).message} It is the private one, process ${pid ?? '?'}. If it stays so: kill -9 ${pid ?? '<it>'}, and try ` +
        'again; runs go on from their outputs.',
      { cause: error },
    );
  }
}

/** The address of a server that listens: the living one, or one that is started now. */
async function reach(options: StartOptions): Promise<string> {
  const { folder } = options.home;
  const last = await lastServer(options.home);
  const home = { folder, socket: last?.socket ?? options.home.socket };
  if (await isListening(home.socket)) return home.socket;
  if (last) await expectGone(home, last.pid);
  await startServer({ ...options, home });
  return home.socket;
}

/** A server whose socket somebody removed still writes its files, which a second one would destroy. */
async function expectGone({ folder, socket }: Home, pid: number): Promise<void> {
  for (const until = performance.now() + endMs; await worksIn(folder, pid); await sleep(10)) {
    if (performance.now() < until) continue;
    throw new SurroundingsError(
      `the private Redis in ${folder} runs as process ${pid}, but its socket ${socket} is gone. It ends with the last ` +
        `command that uses it; if there is none: kill ${pid}`,
    );
  }
}

/** @throws SurroundingsError when the server can't write its file: it would refuse everything later on */
async function expectRoom(redis: Redis, { folder }: Home): Promise<void> {
  await redis.unlink('reshoot:nothing').catch((error: unknown) => {
    throw new SurroundingsError(
      `the private Redis can't write in ${folder}: ${toError(error).message}. Is there room on the disk?`,
      { cause: error },
    );
  });
}

/** Goes, and stops the server when no other command is there. */
async function part(redis: Redis, lastWord: (redis: Redis) => Promise<void>): Promise<void> {
  try {
    const alone = await withDeadline(isLast(redis), byeMs).catch(() => false);
    if (!alone) return;
    await withDeadline(lastWord(redis), byeMs).catch(() => undefined);
    await shutDown(redis);
  } finally {
    redis.disconnect();
  }
}

/** Gives up our name, so that whoever leaves next doesn't see it, and looks for those of others. */
async function isLast(redis: Redis): Promise<boolean> {
  const ours = redis.options.connectionName;
  await redis.client('SETNAME', '');
  const names = [...String(await redis.client('LIST')).matchAll(/ name=(\S*)/g)].map(
    (match) => match[1] ?? '',
  );
  return !names.some((name) => name.startsWith(users) && name !== ours);
}

/** The server closes the connection instead of answering; the append-only file is flushed before. */
async function shutDown(redis: Redis): Promise<void> {
  const gone = new Promise((resolve) => redis.once('close', resolve));
  // It is never answered, and the timer that waits for that would keep this process.
  delete redis.options.commandTimeout;
  redis.shutdown('NOSAVE').catch(() => undefined);
  await Promise.race([gone, sleep(endMs, undefined, { ref: false })]);
}
