import { statSync, type Stats } from 'node:fs';
import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import pLimit from 'p-limit';
import { printable } from '../cells.ts';
import { systemCode } from '../errors.ts';
import type { Picture } from '../model.ts';
import { fileType } from './file-type.ts';
import { didYouMean } from './nearest.ts';
import type { Flaw } from './problem.ts';

/** A picture, or why there is none. */
export type Found = Picture | Flaw;

/** A picture's path, or its content. */
type Subject = string | Buffer;

/** What will be done to each picture before it is sent, in words, or why it can't be sent; in their order. */
export type Inspect = (pictures: Subject[]) => Promise<(string[] | Flaw)[]>;

/** A picture, and what will be done to it before it is sent. */
export type Inspected = { picture: Picture; changes: string[] } | Flaw;

/** Hints read a folder each; a manifest with a wrong root would read one for every row. */
const mostHints = 20;

/** A picture that is a file, of which it isn't known whether it is sound. */
type FilePicture = Extract<Picture, { kind: 'file' }>;

/** The files of a row, as its cell names them. */
export interface RowFiles {
  id: string;
  parts: string[];
}

/** Is this very file known to be a sound picture of the row? */
type IsKnown = (id: string, picture: FilePicture) => Promise<boolean>;

/** Files that many rows name are looked at once, if not too many others lie between them. */
const mostSeen = 1000;
/** No file system has longer paths, and nothing else should be remembered. */
const longestPart = 4096;

/** What the files of rows are looked at with. */
export interface FileProbing {
  /** Absolute path of the folder where relative paths, and absolute ones that don't exist as such, start. */
  root: string;
  /** Asked for one file after the other, before the first one is opened; those it knows are not opened. */
  isKnown: IsKnown | undefined;
  inspect: Inspect;
}

/** Looks at the files of some rows, sixteen at a time, and tells what each is by its part of the cell. */
export function createFileProbe({
  root,
  isKnown,
  inspect,
}: FileProbing): (rows: RowFiles[]) => Promise<Map<string, Inspected>> {
  const limit = pLimit(16);
  const look = createLook();
  const seen = new Map<string, Inspected>();
  let hints = 0;
  const find = async (part: string): Promise<Found> => {
    const asGiven = isAbsolute(part) ? await locate(part, look) : undefined;
    if (asGiven && asGiven !== 'missing') return asGiven;
    const path = join(root, part);
    const found = await locate(path, look);
    const tried = asGiven && part !== path ? [part, path] : [path];
    return found === 'missing' ? missing(part, tried, hints++ < mostHints) : found;
  };
  const remember = (part: string, found: Inspected): void => {
    if (part.length <= longestPart) seen.set(part, found);
    const [oldest] = seen.size > mostSeen ? seen.keys() : [];
    if (oldest !== undefined) seen.delete(oldest);
  };
  /** What is known of each; those that must be opened are. */
  const examine = async (
    located: Map<string, Found>,
    known: Set<string>,
  ): Promise<Map<string, Inspected>> => {
    const examined = new Map<string, Inspected>();
    const unknown: [part: string, picture: FilePicture][] = [];
    for (const [part, found] of located) {
      if (!('kind' in found)) examined.set(part, found);
      else if (found.kind === 'file' && !known.has(part)) unknown.push([part, found]);
      else examined.set(part, { picture: found, changes: [] });
    }
    const flaws = await limit.map(unknown, ([, picture]) => openedFlaw(picture));
    const sound = unknown.filter((_, at) => flaws[at] === undefined);
    const said = sound.length > 0 ? await inspect(sound.map(([, { path }]) => path)) : [];
    for (const [at, [part]] of unknown.entries()) {
      const flaw = flaws[at];
      if (flaw) examined.set(part, flaw);
    }
    for (const [at, [part, picture]] of sound.entries())
      examined.set(part, inspected(picture, said[at] ?? []));
    return examined;
  };
  return async (rows) => {
    const parts = new Set(rows.flatMap(({ parts }) => parts));
    const found = new Map([...parts].flatMap((part) => entryOf(part, seen.get(part))));
    const fresh = [...parts].filter((part) => !found.has(part));
    if (fresh.length === 0) return found;
    const located = new Map(await limit.map(fresh, async (part) => [part, await find(part)] as const));
    const known = isKnown ? await askFor(rows, located, isKnown) : new Set<string>();
    for (const [part, what] of await examine(located, known)) {
      found.set(part, what);
      remember(part, what);
    }
    return found;
  };
}

const entryOf = (part: string, found: Inspected | undefined): [string, Inspected][] =>
  found ? [[part, found]] : [];

/** A picture with what was found when it was looked into. */
export const inspected = (picture: Picture, said: string[] | Flaw): Inspected =>
  Array.isArray(said) ? { picture, changes: said } : said;

/** The parts that some row's known picture is. */
async function askFor(rows: RowFiles[], located: Map<string, Found>, isKnown: IsKnown): Promise<Set<string>> {
  const known = new Set<string>();
  for (const { id, parts } of rows) {
    for (const part of parts) {
      const found = known.has(part) ? undefined : located.get(part);
      if (found && 'kind' in found && found.kind === 'file' && (await isKnown(id, found))) known.add(part);
    }
  }
  return known;
}

/** A file's facts, or undefined where there is none. */
export type Look = (path: string) => Promise<Stats | undefined>;

/** Longer than a disk of this machine takes to answer. */
const slowMs = 5;

/**
 * A disk of this machine answers in microseconds, of which a detour by another thread would make tens: a million files
 * are asked for one by one. Where an answer takes longer, over a network say, they are asked for side by side.
 */
export function createLook(): Look {
  let slow = 0;
  return async (path) => {
    if (slow > 3) return stat(path);
    const asked = performance.now();
    const facts = statSync(path, { throwIfNoEntry: false });
    if (performance.now() - asked > slowMs) slow += 1;
    return facts;
  };
}

/** The file as it stands there, not yet opened. */
export async function locate(path: string, look: Look): Promise<Found | 'missing'> {
  try {
    const facts = await look(path);
    if (!facts) return 'missing';
    if (facts.isFile()) {
      return { kind: 'file', path, bytes: facts.size, mtimeMs: facts.mtimeMs, ino: facts.ino };
    }
    const what = facts.isDirectory() ? 'a folder' : 'no ordinary file';
    return { problem: `${printable(path, 300)} is ${what}`, remedy: "write the picture file's own path" };
  } catch (error) {
    const isMissing = ['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '');
    return isMissing ? 'missing' : unreadable(path, error);
  }
}

async function openedFlaw(picture: FilePicture): Promise<Flaw | undefined> {
  try {
    return contentFlaw(picture.bytes, await readHead(picture.path));
  } catch (error) {
    return unreadable(picture.path, error);
  }
}

const unreadable = (path: string, error: unknown): Flaw => ({
  problem: `${printable(path, 300)} cannot be read (${systemCode(error) ?? 'unknown error'})`,
  remedy: "check the file's rights and the disk",
});

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/** Why a picture's content can't be sent as it is, by its size and first 64 bytes; undefined where it can. */
export function contentFlaw(size: number, head: Buffer): Flaw | undefined {
  if (size === 0) return { problem: 'the picture file is empty', remedy: 'export or copy the picture again' };
  const type = fileType(head);
  if (!type?.taken) {
    return {
      problem: type
        ? `the file's content is of type ${type.name}, whatever its name says`
        : 'the file is no picture that can be recognised, whatever its name says',
      remedy: 'export it as JPEG, PNG or WebP',
    };
  }
  return undefined;
}

/** @param paths where the picture was looked for */
async function missing(part: string, paths: string[], withHint: boolean): Promise<Flaw> {
  const problem = `there is no file ${paths.map((path) => printable(path, 300)).join(', nor ')}`;
  const onDrive = /^([a-z]):[\\/]+(.*)$/is.exec(part);
  if (onDrive) return { problem, remedy: inWsl(onDrive[1] ?? '', onDrive[2] ?? '') };
  if (part.includes('\\')) return { problem, remedy: 'write folders with / instead of \\' };
  const folders = withHint ? await Promise.all(paths.map(listFolder)) : [];
  const otherwise = 'check the spelling; relative paths start at --image-root, else beside the manifest';
  return { problem, remedy: nameHint(basename(part), folders.flat()) || otherwise };
}

const inWsl = (drive: string, path: string): string =>
  `in WSL this is ${printable(`/mnt/${drive.toLowerCase()}/${path.replaceAll('\\', '/')}`, 300)}`;

function nameHint(name: string, names: string[]): string {
  if (names.includes(name)) return 'it is a link to a file that is gone: restore that file';
  const twin = names.some((other) => other.normalize('NFC') === name.normalize('NFC'));
  if (twin) return 'the file has this name in another Unicode form: copy the name from the folder';
  return didYouMean(name, names);
}

const listFolder = (path: string): Promise<string[]> => readdir(dirname(path)).catch(() => []);
