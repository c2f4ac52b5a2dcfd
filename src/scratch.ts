import { randomUUID } from 'node:crypto';
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SurroundingsError, toError } from './errors.ts';

/**
 * Text that may be too much for memory. What is more than a little lies in a temporary file without a name, so that
 * nothing is left of it, however the process ends.
 */
export interface Scratch {
  /** Bytes so far. */
  readonly bytes: number;
  /** Adds text at the end. @returns the byte at which it begins @throws SurroundingsError when the disk fails */
  append(text: string): number;
  /** Adds bytes, likewise. */
  appendBytes(bytes: Buffer): number;
  read(from: number, length: number): Buffer;
  /** All of it in order, in large blocks; each is good until the next is asked for. */
  blocks(): Iterable<Buffer>;
  /** All lines in order, without their ends. */
  lines(): Iterable<string>;
  close(): void;
}

const block = 2 ** 18;

export function createScratch(): Scratch {
  let file: number | undefined;
  let written = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;

  const flush = (): void => {
    file ??= openUnnamed();
    // Short pieces one by one would be as many writes.
    writeAll(file, held.length === 1 && held[0] ? held[0] : Buffer.concat(held));
    written += heldBytes;
    held = [];
    heldBytes = 0;
  };

  const appendBytes = (bytes: Buffer): number => {
    const from = written + heldBytes;
    held.push(bytes);
    heldBytes += bytes.length;
    if (heldBytes >= block) flush();
    return from;
  };

  const read = (from: number, length: number): Buffer => {
    if (from >= written) {
      if (held.length > 1) held = [Buffer.concat(held)];
      return held[0]?.subarray(from - written, from - written + length) ?? Buffer.alloc(0);
    }
    if (from + length > written && heldBytes > 0) flush();
    const bytes = Buffer.allocUnsafe(length);
    return bytes.subarray(
      0,
      guarded(() => readSync(file ?? -1, bytes, 0, length, from)),
    );
  };

  function* blocks(): Iterable<Buffer> {
    const bytes = Buffer.allocUnsafe(Math.min(block, written));
    for (let from = 0; from < written; from += bytes.length) {
      const length = Math.min(bytes.length, written - from);
      yield bytes.subarray(
        0,
        guarded(() => readSync(file ?? -1, bytes, 0, length, from)),
      );
    }
    if (heldBytes > 0) yield read(written, heldBytes);
  }

  return {
    get bytes() {
      return written + heldBytes;
    },
    append: (text) => appendBytes(Buffer.from(text)),
    appendBytes,
    read,
    blocks,
    *lines() {
      let rest: Buffer = Buffer.alloc(0);
      for (const part of blocks()) {
        const bytes = rest.length > 0 ? Buffer.concat([rest, part]) : part;
        let from = 0;
        for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
          yield bytes.toString('utf8', from, end);
          from = end + 1;
        }
        rest = Buffer.from(bytes.subarray(from));
      }
    },
    close() {
      if (file !== undefined) closeSync(file);
      file = undefined;
    },
  };
}

function openUnnamed(): number {
  return guarded(() => {
    const path = join(tmpdir(), `reshoot-${randomUUID()}`);
    const file = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
    return file;
  });
}

function writeAll(file: number, bytes: Buffer): void {
  guarded(() => {
    for (let from = 0; from < bytes.length;) from += writeSync(file, bytes, from);
  });
}

function guarded<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const message = `the folder for temporary files (${tmpdir()}; TMPDIR names another): ${toError(error).message}`;
    throw new SurroundingsError(message, { cause: error });
  }
}
