import { spawn, type ChildProcess } from 'node:child_process';
import { readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { printable } from '../cells.ts';
import { SurroundingsError, systemCode, UsageError } from '../errors.ts';
import type { Log } from '../log.ts';
import { connect } from './connect.ts';
import { noteServer, type Home } from './home.ts';

/** How long a new server may take until it answers. */
const startMs = 5000;

/** No socket, or one whose server is dead. */
const nobodyThere = new Set(['ENOENT', 'ECONNREFUSED']);

/** What redis-server says when it can't read what it wrote: a crash left zeros in it, or another version wrote it. */
const unreadable = /append only file|manifest|reading RDB|loading DB|RDB (preamble|format)|AOF file/i;

export interface StartOptions {
  home: Home;
  /** The folders of programs, as in PATH. */
  searchPath: string;
  /** The throttle's window. */
  rateWindowMs: number;
  log: Log;
}

/** Is there a server behind the socket, be it loading or frozen? Then no second one may be started. */
export function isListening(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', (error) => resolve(!nobodyThere.has(systemCode(error) ?? '')));
  });
}

/**
 * Starts the server, detached so that Ctrl-C in a terminal doesn't reach it. Append-only files that it can't read are
 * put aside, and it begins anew: plans and records, which are the truth, are elsewhere.
 * @throws UsageError when there is no redis-server
 * @throws SurroundingsError when it doesn't start
 */
export async function startServer(options: StartOptions): Promise<void> {
  let why = await tryToStart(options);
  if (why !== undefined && unreadable.test(why)) {
    await putAside(options, why);
    why = await tryToStart(options);
  }
  if (why === undefined) return;
  throw new SurroundingsError(
    `the private Redis ended as soon as it was started: ${why}. Is there room in ${options.home.folder}, ` +
      'and is the redis-server in PATH the real one?',
  );
}

/** Why the server ended; undefined: it answers. */
async function tryToStart({ home, searchPath, log }: StartOptions): Promise<string | undefined> {
  const { folder, socket } = home;
  const logFile = join(folder, 'redis.log');
  await rm(logFile, { force: true });
  const server = await spawnFirst(['redis-server', 'valkey-server'], optionsOf(home, logFile), searchPath);
  await noteServer(home, server.pid ?? 0);
  for (const until = performance.now() + startMs; performance.now() < until; await sleep(10)) {
    if (server.exitCode !== null || server.signalCode !== null) {
      return lastWord(logFile, server);
    }
    // It listens before it reads its files, and may end over them.
    if (!(await isListening(socket))) continue;
    if (await answers(socket, server, log)) return undefined;
  }
  // One that listens is still reading; what doesn't even listen is something else of that name.
  if (!(await isListening(socket))) server.kill('SIGKILL');
  throw new SurroundingsError(
    `redis-server was started in ${folder} but does not answer on ${socket} within ${startMs / 1000} s. ` +
      'Is this machine very busy, or is the redis-server in PATH not the real one?',
  );
}

async function answers(socket: string, server: ChildProcess, log: Log): Promise<boolean> {
  try {
    (await connect(socket, log)).disconnect();
    return true;
  } catch (error) {
    if (!(error instanceof UsageError)) return false;
    // Else it would still be there when the user has installed a newer one.
    server.kill();
    throw error;
  }
}

function optionsOf({ folder, socket }: Home, logFile: string): string[] {
  return [
    ['--port', '0'],
    ['--unixsocket', socket],
    ['--unixsocketperm', '700'],
    ['--dir', folder],
    ['--logfile', logFile],
    ['--loglevel', 'warning'],
    ['--appendonly', 'yes'],
    // Each change is written before it is answered, so that a kill loses none. With "everysec" an answer may overtake
    // its write; "always" would end the server on a full disk, instead of having it wait for room.
    ['--appendfsync', 'no'],
    ['--save', ''],
    ['--maxmemory-policy', 'noeviction'],
  ].flat();
}

async function spawnFirst(programs: string[], options: string[], searchPath: string): Promise<ChildProcess> {
  let why = 'There is no Redis on this machine';
  for (const program of programs) {
    // An orphan that held our stderr would keep a pipe open for ever; one with our environment would keep the key.
    const server = spawn(program, options, { detached: true, stdio: 'ignore', env: { PATH: searchPath } });
    const failure = await new Promise<Error | undefined>((resolve) => {
      server.once('spawn', () => resolve(undefined));
      server.once('error', resolve);
    });
    server.unref();
    if (!failure) return server;
    if (systemCode(failure) !== 'ENOENT') why = `${program} can't be run (${systemCode(failure)})`;
  }
  throw new UsageError(
    `${why}. Three ways out: install it (scripts/redis.sh does, or: apt-get install redis-server, ` +
      'brew install redis), run it with "docker compose up -d redis", or set REDIS_URL to one that runs.',
  );
}

/** The reason that a server gave before it ended. */
async function lastWord(logFile: string, server: ChildProcess): Promise<string> {
  const text = await readFile(logFile, 'utf8').catch(() => '');
  const said = text.split('\n').flatMap((line) => line.split(' # ').slice(1));
  const reasons = said.filter(
    (line) => !/^(oO0|Redis version|Configuration loaded|Server init|WARNING)/.test(line),
  );
  const how = server.signalCode ?? `exit code ${server.exitCode}`;
  return reasons.length > 0 ? printable(reasons.join('; ')) : `it gave no reason (${how})`;
}

/**
 * Puts the append-only files aside, for whoever wants to look. The one thing that is nowhere else are the calls that
 * still count against the limit: so not before the files are old enough to hold none.
 */
async function putAside({ home, rateWindowMs, log }: StartOptions, why: string): Promise<void> {
  const files = join(home.folder, 'appendonlydir');
  const times = await Promise.all(
    (await readdir(files)).map(async (name) => (await stat(join(files, name))).mtimeMs),
  );
  const age = Math.abs(Date.now() - Math.max(0, ...times));
  const safeAge = 2 * rateWindowMs;
  if (age < safeAge) {
    const seconds = Math.ceil((safeAge - age) / 1000);
    throw new SurroundingsError(
      `the private Redis can't read its files in ${files}: ${why}. They are no loss, but may hold calls that still count ` +
        `against the limit: try again in ${seconds} s, and they are put aside`,
    );
  }
  const aside = `${files}.broken-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}`;
  await rename(files, aside);
  log.warn(
    { why, aside },
    'the private Redis could not read its files: they are put aside, and it begins anew',
  );
}
