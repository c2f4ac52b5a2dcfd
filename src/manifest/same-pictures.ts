import { readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Picture } from '../model.ts';
import { createLook, locate } from './picture-files.ts';

/** As many as `createFileProbe` looks at side by side. */
const lanes = 16;

/**
 * Would the cells of some rows lead to the very same files today? What is no file is the same.
 * @param root as the rows were read with
 */
export function createSameness(root: string): (rows: { pictures: Picture[] }[]) => Promise<boolean> {
  const look = createLook();
  const start = root.endsWith('/') ? root : `${root}/`;
  // Case doesn't matter on some disks.
  const top = new Set(readdirSync('/').map((name) => name.toLowerCase()));

  const isSame = async (picture: Picture): Promise<boolean> => {
    if (picture.kind === 'url') return true;
    const { path, bytes, mtimeMs, ino } = picture;
    const found = await locate(path, look);
    if (found === 'missing' || !('kind' in found) || found.kind !== 'file') return false;
    if (found.bytes !== bytes || found.mtimeMs !== mtimeMs || found.ino !== ino) return false;
    return isStillRelative(path);
  };
  /** A path with a leading `/` starts at the root only where there is no file of just that path. */
  const isStillRelative = async (path: string): Promise<boolean> => {
    const below = path.startsWith(start) ? path.slice(start.length) : relative(root, path);
    const asGiven = join('/', below);
    const [, first = ''] = asGiven.split('/', 2);
    return path === asGiven || !top.has(first.toLowerCase()) || (await locate(asGiven, look)) === 'missing';
  };

  return async (rows) => {
    const pictures = rows.flatMap((row) => row.pictures)[Symbol.iterator]();
    let same = true;
    const lane = async (): Promise<void> => {
      for (const picture of pictures) if (!same || !(await isSame(picture))) same = false;
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    return same;
  };
}
