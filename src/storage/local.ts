import { createHash, randomUUID } from 'node:crypto';
import { createReadStream, type Dirent } from 'node:fs';
import {
  constants,
  copyFile,
  link,
  lstat,
  mkdir,
  open,
  opendir,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { pathToFileURL } from 'node:url';
import { SurroundingsError, systemCode, toError } from '../errors.ts';
import type { Content, Storage, StoredFile } from './storage.ts';

/** Our own folder below the output; nobody else need look into it. */
const own = '.reshoot';

/** There is no file of that name. */
const noFile = new Set(['ENOENT', 'ENOTDIR', 'EISDIR']);

/** File systems without hard links say one of these. */
const noLinks = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EXDEV']);

/**
 * A folder as storage: temporary file in the target's folder, fsync, rename (or link, where nothing may be replaced),
 * fsync of the folder.
 * @param make false: the folder exists, and nothing is made in it by opening it
 * @throws SurroundingsError when the folder can't be made or entered
 */
export async function openFolder(path: string, make = true): Promise<Storage> {
  const root = await guarded('output folder', async () => {
    if (make) {
      await mkdir(path, { recursive: true });
      await mkdir(join(path, own, 'spool'), { recursive: true, mode: 0o700 });
    }
    return realpath(path);
  });
  const at = (name: string): string => join(root, ...segments(name));
  /** Refuses a path that a link leads out of the output, before anything is made or touched there. */
  const within = async (path: string, folder: string, name: string): Promise<string> => {
    if (await leadsOut(root, folder)) throw new Error(`${name} leads out of the output through a link`);
    return path;
  };
  const inside = (name: string): Promise<string> => within(at(name), dirname(at(name)), name);
  const entered = async (folder: string): Promise<string> => {
    const path = folder === '' ? root : at(folder);
    return within(path, path, folder);
  };
  /** Makes the file's folder, and looks again: it may have been swapped meanwhile. */
  const ready = async (name: string): Promise<string> => {
    await makeFolder(dirname(await inside(name)), name.startsWith(`${own}/`) ? join(root, own) : root);
    return inside(name);
  };

  return {
    uri: pathToFileURL(root).href,
    spool: join(root, own, 'spool'),
    read: (name) => guarded(name, async () => optional(readFile(await inside(name)))),
    readRange: (name, from, length) => guarded(name, async () => readRange(await inside(name), from, length)),
    stat: (name) => guarded(name, async () => statFile(await inside(name), name)),
    create: (name, content) =>
      guarded(name, async () => {
        const file = await ready(name);
        return viaTemporary(file, content, (temporary) => putNew(temporary, file));
      }),
    write: (name, content) =>
      guarded(name, async () => {
        const file = await ready(name);
        await viaTemporary(file, content, (temporary) => rename(temporary, file));
      }),
    keep: (file, name, sha256) =>
      guarded(name, async () => {
        const target = await ready(name);
        const put = await copyNew(file, target, sha256);
        if (put === 'changed') throw new Error(`${file} changed on its way to ${name}`);
        return put === 'copied' || (await optional(hashFile(target))) === sha256;
      }),
    copy: (from, to, sha256) =>
      guarded(to, async () => {
        const source = await inside(from);
        if ((await optional(hashFile(source))) !== sha256) return false;
        const target = await ready(to);
        const put = await copyNew(source, target, sha256);
        return put === 'copied' || (put === 'taken' && (await optional(hashFile(target))) === sha256);
      }),
    hash: (name) => guarded(name, async () => optional(hashFile(await inside(name)))),
    setAside: (name, aside) =>
      guarded(name, async () => {
        const file = await inside(name);
        const seen = await optional(hashFile(file));
        if (seen === undefined) return;
        const keepCopy = async (from: string, sha256: string): Promise<void> => {
          const to = aside(sha256);
          const target = await ready(to);
          const put = await optional(copyNew(from, target, sha256));
          if (put === 'taken' && (await optional(hashFile(target))) !== sha256)
            throw new Error(`${to} exists already, with other content`);
        };
        await keepCopy(file, seen);
        const taken = temporaryBeside(file);
        if (!(await optional(rename(file, taken).then(() => true)))) return;
        // Another process may have put something else there: looked at where nobody else can.
        const sha256 = await hashFile(taken);
        if (sha256 !== seen) await keepCopy(taken, sha256);
        await rm(taken);
        await syncFolder(dirname(file));
      }),
    leadsOut: (name) => guarded(name, async () => leadsOut(root, dirname(at(name)))),
    list: (folder) => guarded(folder, async () => listFolder(await entered(folder))),
    dated: (folder) => guarded(folder, async () => datedFolder(await entered(folder))),
    changedMs: (folder) =>
      guarded(folder, async () => (await optional(stat(await entered(folder))))?.mtimeMs),
    touch: (folder) =>
      guarded(folder, async () => {
        // By the file system's own clock, which may be another machine's.
        const touched = await entered(folder);
        const passing = temporaryBeside(join(touched, 'x'));
        await (await open(passing, 'wx')).close();
        await rm(passing, { force: true });
        await syncFolder(touched);
      }),
    async *scan(folder) {
      const open = await guarded(folder, async () =>
        optional(opendir(await entered(folder), { bufferSize: 1000 })),
      );
      for await (const entry of open ?? []) if (!isTemporary(entry.name)) yield nameOf(entry);
    },
  };
}

/**
 * Makes a folder and those above it, up to one that must be there: where an output was moved away, or its disk
 * unmounted, nothing is written in its place. One by one, since Node's own way tells of a read-only disk as ENOENT.
 */
async function makeFolder(folder: string, base: string): Promise<void> {
  if (folder === base) return void (await stat(base));
  const make = (): Promise<void> =>
    mkdir(folder).catch((error: unknown) => {
      if (systemCode(error) !== 'EEXIST') throw error;
    });
  await make().catch(async (error: unknown) => {
    if (systemCode(error) !== 'ENOENT') throw error;
    await makeFolder(dirname(folder), base);
    await make();
  });
}

/** Does the folder, or the nearest one above it that exists, really lie outside of the root? */
async function leadsOut(root: string, folder: string): Promise<boolean> {
  for (let above = folder; above.length > root.length; above = dirname(above)) {
    const real = await optional(realpath(above));
    if (real) return !`${real}${sep}`.startsWith(`${root}${sep}`);
  }
  return false;
}

/** A name's parts. Whoever made the name has cleaned it; this is the last door. */
function segments(name: string): string[] {
  const parts = name.split('/');
  if (
    parts.some(
      (part) => part === '' || part === '.' || part === '..' || part.includes('\\') || part.includes('\0'),
    )
  ) {
    throw new Error(`"${name}" is no name below the output`);
  }
  return parts;
}

async function guarded<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    throw new SurroundingsError(`${name}: ${toError(error).message}`, { cause: error });
  }
}

async function optional<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (noFile.has(systemCode(error) ?? '')) return undefined;
    throw error;
  }
}

async function readRange(file: string, from: number, length: number): Promise<Buffer> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

async function statFile(file: string, name: string): Promise<StoredFile | undefined> {
  const facts = await optional(lstat(file));
  return facts && { name, bytes: facts.size, changedMs: facts.mtimeMs };
}

async function listFolder(folder: string): Promise<string[]> {
  const entries = (await optional(readdir(folder, { withFileTypes: true }))) ?? [];
  return entries.filter((entry) => !isTemporary(entry.name)).map(nameOf);
}

const nameOf = (entry: Dirent): string => (entry.isDirectory() ? `${entry.name}/` : entry.name);

/** Without a link followed; what is gone meanwhile is left out. */
async function datedFolder(folder: string): Promise<{ name: string; changedMs: number }[]> {
  const names = (await optional(readdir(folder))) ?? [];
  const facts = await Promise.all(names.map((name) => optional(lstat(join(folder, name)))));
  return names.flatMap((name, i) => {
    const changedMs = facts[i]?.mtimeMs;
    return changedMs === undefined || isTemporary(name) ? [] : { name, changedMs };
  });
}

const temporaryBeside = (file: string): string => join(dirname(file), `.reshoot-${randomUUID()}.tmp`);

/** A file on its way, or one that a killed process left behind. */
const isTemporary = (name: string): boolean => /^\.reshoot-[\w-]+\.tmp$/.test(name);

/** Writes a temporary file durably, has it put in place, makes the folder durable; nothing is left on failure. */
async function viaTemporary<T>(
  file: string,
  content: Content,
  put: (temporary: string) => Promise<T>,
): Promise<T> {
  const temporary = temporaryBeside(file);
  try {
    const handle = await open(temporary, 'wx');
    try {
      await writeFile(handle, content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    return await put(temporary);
  } finally {
    await rm(temporary, { force: true });
    await syncFolder(dirname(file));
  }
}

/** @returns `changed`: the source has other content by now; `taken`: something stands at the target */
async function copyNew(from: string, to: string, sha256: string): Promise<'copied' | 'taken' | 'changed'> {
  const temporary = temporaryBeside(to);
  try {
    await copyFile(from, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    const handle = await open(temporary, 'r+');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if ((await hashFile(temporary)) !== sha256) return 'changed';
    return (await putNew(temporary, to)) ? 'copied' : 'taken';
  } finally {
    await rm(temporary, { force: true });
    await syncFolder(dirname(to));
  }
}

/** A rename that replaces nothing. Without hard links the look and the rename are two steps, the best there is. */
async function putNew(temporary: string, file: string): Promise<boolean> {
  try {
    await link(temporary, file);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    if (!noLinks.has(systemCode(error) ?? '')) throw error;
  }
  if (await optional(lstat(file))) return false;
  await rename(temporary, file);
  return true;
}

async function hashFile(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
