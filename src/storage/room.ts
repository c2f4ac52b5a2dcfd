import { access, constants, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode } from '../errors.ts';

/** Bytes that a user may still write where a folder is, or would be made. */
export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(await nearest(folder));
  return bavail * bsize;
}

/** The folder itself, or the closest one above it that exists. */
export async function nearest(folder: string): Promise<string> {
  try {
    await access(folder, constants.F_OK);
    return folder;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || dirname(folder) === folder) throw error;
    return nearest(dirname(folder));
  }
}
