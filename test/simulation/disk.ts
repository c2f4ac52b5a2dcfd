import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import { SurroundingsError } from '../../src/errors.ts';
import type { Content, Storage } from '../../src/storage/storage.ts';
import type { Scheduler } from './scheduler.ts';

interface File {
  bytes: Buffer;
  changedMs: number;
}

interface Folder {
  changedMs: number;
  entries: Set<string>;
}

const root = '/sim/out/';
export const outputUri = 'file:///sim/out';

export type Disk = ReturnType<typeof createDisk>;

/** Does the path lie on the simulated disk? */
export const isSimulated = (path: unknown): path is string => String(path).startsWith(root);

/**
 * An output's files in memory, shared by all processes: what is done is durable and done at once, and what takes several
 * steps on a real disk takes the same steps here.
 * @param grainMs how coarse the dates of files and folders are
 */
export function createDisk(sim: Scheduler, grainMs: number) {
  const files = new Map<string, File>();
  const folders = new Map<string, Folder>([['', { changedMs: sim.wall, entries: new Set() }]]);

  const date = (): number => (grainMs === 0 ? sim.wall : Math.floor(sim.wall / grainMs) * grainMs);
  const change = (folder: Folder | undefined): void => {
    if (folder) folder.changedMs = date();
  };
  const makeFolder = (name: string): void => {
    if (folders.has(name)) return;
    makeFolder(folderOf(name));
    folders.set(name, { changedMs: date(), entries: new Set() });
    const parent = folders.get(folderOf(name));
    parent?.entries.add(`${nameIn(name)}/`);
    change(parent);
  };
  const put = (name: string, bytes: Buffer): void => {
    const parent = folders.get(folderOf(name));
    if (!parent) throw missing(name);
    files.set(name, { bytes, changedMs: date() });
    parent.entries.add(nameIn(name));
    change(parent);
  };
  const remove = (name: string): void => {
    if (!files.delete(name)) return;
    const parent = folders.get(folderOf(name));
    parent?.entries.delete(nameIn(name));
    change(parent);
  };
  const rename = (from: string, to: string): void => {
    const file = files.get(from);
    if (!file) throw missing(from);
    put(to, file.bytes);
    remove(from);
  };
  /** A file of its own for what is read later, as on a disk. */
  const putNew = (name: string, bytes: Buffer): boolean => {
    const there = files.get(name);
    if (there) return sha256(there.bytes) === sha256(bytes);
    put(name, bytes);
    return true;
  };
  makeFolder('.reshoot/spool');

  /** Its folder is made first, which others may see. */
  const ready = async (name: string): Promise<void> => {
    if (!folders.has(folderOf(name))) await sim.ask(`mkdir for ${name}`, () => makeFolder(folderOf(name)));
  };

  const storage: Storage = {
    uri: outputUri,
    spool: `${root}.reshoot/spool`,
    read: (name) => sim.ask(`read ${name}`, () => files.get(name)?.bytes),
    readRange: (name, from, length) =>
      sim.ask(`read ${name}`, () => {
        const file = files.get(name);
        if (!file) throw new SurroundingsError(`${name}: no such file`);
        return file.bytes.subarray(from, from + length);
      }),
    stat: (name) =>
      sim.ask(`stat ${name}`, () => {
        const file = files.get(name);
        const changedMs = file?.changedMs ?? folders.get(name)?.changedMs;
        return changedMs === undefined ? undefined : { name, bytes: file?.bytes.length ?? 0, changedMs };
      }),
    async create(name, content) {
      await ready(name);
      return sim.ask(`create ${name}`, () => {
        if (files.has(name)) return false;
        put(name, Buffer.from(content));
        sim.note(`created ${name}`);
        return true;
      });
    },
    async write(name, content) {
      await ready(name);
      const bytes = await whole(content);
      await sim.ask(`write ${name}`, () => {
        put(name, bytes);
        sim.note(`wrote ${name}`);
      });
    },
    async keep(file, name, content) {
      await ready(name);
      return sim.ask(`keep ${name}`, () => {
        const bytes = files.get(file.slice(root.length))?.bytes;
        if (!bytes) throw new SurroundingsError(`${name}: ${file} is gone`);
        if (sha256(bytes) !== content) throw new Error(`${file} changed on its way to ${name}`);
        sim.note(`keeps ${name}`);
        return putNew(name, bytes);
      });
    },
    async copy(from, to, content) {
      const found = await sim.ask(`hash ${from}`, () => files.get(from)?.bytes);
      if (!found || sha256(found) !== content) return false;
      await ready(to);
      return sim.ask(`copy to ${to}`, () => {
        const bytes = files.get(from)?.bytes;
        if (!bytes) throw new SurroundingsError(`${from}: no such file`);
        if (sha256(bytes) !== content) throw new Error(`${from} changed on its way to ${to}`);
        sim.note(`copies ${from} to ${to}`);
        return putNew(to, bytes);
      });
    },
    hash: (name) =>
      sim.ask(`hash ${name}`, () => {
        const file = files.get(name);
        return file && sha256(file.bytes);
      }),
    async setAside(name, aside) {
      await ready(aside(''));
      return sim.ask(`set ${name} aside`, () => {
        const file = files.get(name);
        if (!file) return;
        const to = aside(sha256(file.bytes));
        if (!putNew(to, file.bytes)) throw new Error(`${to} exists already, with other content`);
        remove(name);
        sim.note(`moved ${name} to ${to}`);
      });
    },
    leadsOut: () => Promise.resolve(false),
    list: (folder) => sim.ask(`list ${folder}`, () => [...(folders.get(folder)?.entries ?? [])]),
    dated: (folder) =>
      sim.ask(`list ${folder}`, () =>
        [...(folders.get(folder)?.entries ?? [])].map((entry) => {
          const name = entry.replace(/\/$/, '');
          const path = folder === '' ? name : `${folder}/${name}`;
          return { name, changedMs: (files.get(path) ?? folders.get(path))?.changedMs ?? 0 };
        }),
      ),
    changedMs: (folder) => sim.ask(`stat ${folder}`, () => folders.get(folder)?.changedMs),
    touch: (folder) =>
      sim.ask(`touch ${folder}`, () => {
        if (!folders.has(folder)) throw new SurroundingsError(`${folder}: no such folder`);
        change(folders.get(folder));
      }),
    async *scan(folder) {
      yield* await storage.list(folder);
    },
  };

  return {
    storage,
    /** For whoever looks at the world from outside. */
    files,
    /** What the spool's users do beside the storage, with absolute paths. */
    rename: (from: string, to: string) =>
      sim.ask(`rename to ${nameIn(to)}`, () => rename(from.slice(root.length), to.slice(root.length))),
    rm: (path: string) => sim.ask(`remove ${nameIn(path)}`, () => remove(path.slice(root.length))),
    stat: (path: string) =>
      sim.ask(`stat ${nameIn(path)}`, () => {
        const file = files.get(path.slice(root.length));
        if (!file) throw missing(path);
        return { size: file.bytes.length };
      }),
    stream: (path: string): Readable => {
      const file = files.get(path.slice(root.length));
      return Readable.from(file ? [file.bytes] : failing(missing(path)));
    },
    spool: (path: string, bytes: Buffer): void => put(path.slice(root.length), bytes),
    contentOf: (path: string): Buffer | undefined => files.get(path.slice(root.length))?.bytes,
    unspool: (path: string): void => remove(path.slice(root.length)),
  };
}

const folderOf = (name: string): string => (name.includes('/') ? name.slice(0, name.lastIndexOf('/')) : '');
const nameIn = (name: string): string => name.slice(name.lastIndexOf('/') + 1);
const missing = (name: string): Error =>
  Object.assign(new Error(`ENOENT: no such file, ${name}`), { code: 'ENOENT' });

export const sha256 = (bytes: Buffer | string): string => hash('sha256', bytes);

// eslint-disable-next-line require-yield
function* failing(error: Error): Generator<Buffer> {
  throw error;
}

async function whole(content: Content): Promise<Buffer> {
  if (typeof content === 'string' || Buffer.isBuffer(content)) return Buffer.from(content);
  const parts: Buffer[] = [];
  for await (const part of content) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}
