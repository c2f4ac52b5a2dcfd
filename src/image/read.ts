import { createHash } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { EditError, systemCode, toError } from '../errors.ts';
import type { Source } from '../model.ts';
import { describeContent, pictureKind } from './kind.ts';

/** A file is held in memory whole while it is looked at: no more than this, in bytes. */
export const maxFileBytes = 256_000_000;

/**
 * Reads a reference picture once: its bytes, with the hash and the stat of exactly these bytes.
 * @throws EditError `input_missing`, `input_unreadable`, `input_too_large` or `input_not_a_picture`
 */
export async function readPicture(picture: { path: string }): Promise<{ bytes: Buffer; source: Source }> {
  const { path } = picture;
  let handle: FileHandle | undefined;
  try {
    // Without O_NONBLOCK the opening of a FIFO would wait for its writer for ever.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return await readHandle(path, handle);
  } catch (error) {
    throw error instanceof EditError ? error : inputError(path, error);
  } finally {
    await handle?.close();
  }
}

async function readHandle(path: string, handle: FileHandle): Promise<{ bytes: Buffer; source: Source }> {
  const stat = await handle.stat();
  refuseByStat(path, stat);
  const bytes = await handle.readFile();
  refuseByContent(path, bytes);
  refuseIfChanged(path, stat, await handle.stat(), bytes.length);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  const source: Source = {
    kind: 'file',
    path,
    bytes: bytes.length,
    mtimeMs: stat.mtimeMs,
    ino: stat.ino,
    sha256,
  };
  return { bytes, source };
}

function refuseByStat(path: string, stat: Stats): void {
  if (!stat.isFile()) throw new EditError('input_not_a_picture', `${path} is no file`);
  if (stat.size === 0) throw new EditError('input_not_a_picture', `${path} is empty`);
  if (stat.size > maxFileBytes) {
    const [size, most] = [stat.size, maxFileBytes].map((bytes) => (bytes / 1e6).toFixed(0));
    throw new EditError('input_too_large', `${path} has ${size} MB, more than ${most} MB`);
  }
}

function refuseByContent(path: string, bytes: Buffer): void {
  if (pictureKind(bytes)) return;
  throw new EditError('input_not_a_picture', `${path} is no picture: ${describeContent(bytes)}`);
}

/** A hash recorded with a stat that isn't its own would let a later run take other bytes for these. */
function refuseIfChanged(path: string, before: Stats, after: Stats, read: number): void {
  if (read === after.size && before.mtimeMs === after.mtimeMs) return;
  throw new EditError('input_unreadable', `${path} changed while it was read: wait until it is written`);
}

function inputError(path: string, error: unknown): EditError {
  const missing = ['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '');
  return missing
    ? new EditError('input_missing', `${path} does not exist`, { cause: error })
    : new EditError('input_unreadable', `${path}: ${toError(error).message}`, { cause: error });
}
