import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readFile, readlink, realpath, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { SurroundingsError, systemCode, toError, UsageError } from '../errors.ts';

/** Longer paths don't fit into a socket's address on every system. */
const longestSocketPath = 103;

/** Where the embedded Redis lives. */
export interface Home {
  /** Of the user alone; holds the append-only file, the lock and, where its path is short enough, the socket. */
  folder: string;
  /** The socket's path, for whoever starts the server. */
  socket: string;
}

/**
 * Makes the folder of the embedded Redis, and closes it to everybody else.
 * @param runtimeDir where the socket goes whose path in the state folder would be too long
 * @throws SurroundingsError when the folder can't be made
 * @throws UsageError when it belongs to somebody else
 */
export async function openHome(stateDir: string, runtimeDir: string | undefined): Promise<Home> {
  const folder = join(resolve(stateDir), 'redis');
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    if (!(await isOurs(folder))) throw new UsageError(`${folder} belongs to somebody else: ${otherState}`);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new SurroundingsError(
      `the private Redis gets no folder: ${toError(error).message}. ${otherState}`,
      { cause: error },
    );
  }
  return { folder, socket: await socketPath(folder, runtimeDir) };
}

const otherState = 'Set RESHOOT_STATE_DIR to a folder that you may write';

/** Is it a folder of this user? Then from now on it is nobody else's. */
async function isOurs(folder: string): Promise<boolean> {
  const found = await lstat(folder);
  // Not os.userInfo(): a container's user may have no name.
  if (!found.isDirectory() || found.uid !== process.getuid?.()) return false;
  if ((found.mode & 0o777) !== 0o700) await chmod(folder, 0o700);
  return true;
}

async function socketPath(folder: string, runtimeDir: string | undefined): Promise<string> {
  const inState = join(folder, 'redis.sock');
  if (Buffer.byteLength(inState) <= longestSocketPath) return inState;
  const name = `reshoot-${createHash('sha256').update(folder).digest('hex').slice(0, 12)}-${process.getuid?.()}`;
  for (const parent of [runtimeDir, tmpdir(), '/tmp']) {
    if (parent === undefined) continue;
    const elsewhere = join(resolve(parent), name);
    const socket = join(elsewhere, 'redis.sock');
    if (Buffer.byteLength(socket) > longestSocketPath) continue;
    // $XDG_RUNTIME_DIR may name a folder that is gone; and in /tmp anybody may have made one of that name.
    if (await makeOurs(elsewhere).catch(() => false)) return socket;
  }
  throw new UsageError(
    `${folder} is too long for a socket's path, and there is no temporary folder for it: set RESHOOT_STATE_DIR to a shorter path`,
  );
}

async function makeOurs(folder: string): Promise<boolean> {
  await mkdir(folder, { mode: 0o700 }).catch((error: unknown) => {
    if (systemCode(error) !== 'EEXIST') throw error;
  });
  return isOurs(folder);
}

const noteOf = (folder: string): string => join(folder, 'server.json');

/** Notes down the server that was just started. */
export async function noteServer({ folder, socket }: Home, pid: number): Promise<void> {
  await writeFile(noteOf(folder), JSON.stringify({ folder, socket, pid }), { mode: 0o600 });
}

/**
 * The server that was started last, whether it lives or not. Its socket is where that command's environment led it,
 * and stays there for all, since commands with different environments share the server.
 */
export async function lastServer({ folder }: Home): Promise<{ pid: number; socket: string } | undefined> {
  try {
    const note = JSON.parse(await readFile(noteOf(folder), 'utf8')) as Partial<Home & { pid: number }>;
    const { pid, socket } = note;
    // A copied state folder has the original's note.
    if (note.folder !== folder || typeof pid !== 'number' || typeof socket !== 'string') return undefined;
    return (await isOurs(dirname(socket))) ? { pid, socket } : undefined;
  } catch {
    return undefined;
  }
}

/** Does this process work in this folder? Only Linux tells; elsewhere: no. */
export async function worksIn(folder: string, pid: number): Promise<boolean> {
  const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => undefined);
  return cwd !== undefined && cwd === (await realpath(folder));
}
