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

const megabyte = 1_000_000;
const largestPicture = 8 * megabyte;
/** Hints read a folder each; a manifest with a wrong root would read one for every row. */
const mostHints = 20;

/** A number of bytes for a message. */
export const inMegabytes = (bytes: number): string => `${(bytes / megabyte).toFixed(1)} MB`;

/**
 * Looks at each file once, sixteen at a time.
 * @param root absolute path of the folder where relative paths, and absolute ones that don't exist as such, start
 */
export function createFileProbe(root: string): (path: string) => Promise<Found> {
  const limit = pLimit(16);
  const seen = new Map<string, Promise<Found>>();
  let hints = 0;
  const look = async (part: string): Promise<Found> => {
    const asGiven = isAbsolute(part) ? await probe(part) : undefined;
    if (asGiven && asGiven !== 'missing') return asGiven;
    const path = join(root, part);
    const found = await probe(path);
    const tried = asGiven && part !== path ? [part, path] : [path];
    return found === 'missing' ? missing(part, tried, hints++ < mostHints) : found;
  };
  return (part) => {
    const found = seen.get(part) ?? limit(look, part);
    seen.set(part, found);
    return found;
  };
}

async function probe(path: string): Promise<Found | 'missing'> {
  try {
    const facts = await stat(path);
    if (!facts.isFile()) {
      const what = facts.isDirectory() ? 'a folder' : 'no ordinary file';
      return { problem: `${printable(path, 300)} is ${what}`, remedy: "write the picture file's own path" };
    }
    const flaw = contentFlaw(facts.size, await readHead(path));
    if (flaw) return flaw;
    return { kind: 'file', path, bytes: facts.size, mtimeMs: facts.mtimeMs, ino: facts.ino };
  } catch (error) {
    const code = systemCode(error) ?? 'unknown error';
    if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing';
    return {
      problem: `${printable(path, 300)} cannot be read (${code})`,
      remedy: "check the file's rights and the disk",
    };
  }
}

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
  if (size <= largestPicture) return undefined;
  return {
    problem: `the picture has ${inMegabytes(size)}; the API takes at most 8 MB`,
    remedy: 'save it smaller, or as JPEG with a lower quality',
  };
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
