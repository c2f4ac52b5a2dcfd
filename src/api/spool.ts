import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { SurroundingsError, toError } from '../errors.ts';

/** The file that an answer's picture is written into while it arrives. */
export interface Spool {
  /** Writes before it returns; never throws, since an answer is read to its end even when the disk is full. */
  write(bytes: Buffer): void;
  /** @throws SurroundingsError when a write failed */
  check(): void;
  /**
   * Waits until the disk has everything; the file stays, whatever happens.
   * @throws SurroundingsError when it has not
   */
  finish(): Promise<{ bytes: number; sha256: string }>;
  /** Closes and removes it. */
  discard(): Promise<void>;
}

/**
 * Creates the file.
 * @throws SurroundingsError when it exists or cannot be made
 */
export async function openSpool(path: string): Promise<Spool> {
  const file = await open(path, 'wx').catch((error: unknown) => fail(path, error));
  const hash = createHash('sha256');
  let bytes = 0;
  let failure: unknown;
  return {
    write(block) {
      if (failure !== undefined) return;
      try {
        writeWhole(file.fd, block);
        hash.update(block);
        bytes += block.length;
      } catch (error) {
        failure = error;
      }
    },
    check() {
      if (failure !== undefined) fail(path, failure);
    },
    async finish() {
      try {
        await file.sync();
      } catch (error) {
        fail(path, error);
      } finally {
        await file.close();
      }
      return { bytes, sha256: hash.digest('hex') };
    },
    async discard() {
      // The call's own failure is on its way to the caller; a file that stays is removed at the next start.
      await file.close().catch(() => undefined);
      await rm(path, { force: true }).catch(() => undefined);
    },
  };
}

/** A nearly full disk takes a part of a block without an error; only the next write says so. */
function writeWhole(fd: number, block: Buffer): void {
  for (let at = 0; at < block.length;) at += writeSync(fd, block, at);
}

function fail(path: string, error: unknown): never {
  const { message } = toError(error);
  throw new SurroundingsError(`the answer cannot be written to ${path}: ${message}`, { cause: error });
}
