import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { printable } from '../cells.ts';
import { systemCode, toError, UsageError } from '../errors.ts';
import { createScratch } from '../scratch.ts';

/** Parts of something long, from its start as often as asked. */
export type Parts<T> = () => AsyncIterable<T>;

export interface Source {
  bytes: Parts<Buffer>;
  /** @throws UsageError where the file isn't the one any more that it was when it was opened */
  expectUnchanged(): Promise<void>;
}

const partBytes = 64 * 1024;

/** The manifest's name where it comes through standard input. */
export const standardInput = '-';
/** As people call it. */
export const nameOfManifest = (file: string): string => (file === standardInput ? 'standard input' : file);

/**
 * A file's bytes; of one that gzip made, those that it was made from.
 * @throws UsageError here and while it is read where the file can't be read
 */
export async function openSource(file: string): Promise<Source> {
  const before = await stateOf(file);
  return {
    bytes: await unpacking(() => readParts(file), file),
    async expectUnchanged() {
      if ((await stateOf(file)) === before) return;
      throw new UsageError(`${printable(file)} was changed while it was read: run again when it is finished`);
    },
  };
}

/** What comes through standard input, which can be read but once, kept aside. */
export async function openStandardInput(): Promise<Source> {
  if (process.stdin.isTTY)
    throw new UsageError('nothing is piped into standard input: give a file, or pipe one into this');
  const kept = createScratch();
  for await (const part of process.stdin as AsyncIterable<Buffer>) kept.appendBytes(Buffer.from(part));
  async function* bytes(): AsyncGenerator<Buffer> {
    // A copy: a block is good only until the next is asked for.
    for (const block of kept.blocks()) yield Buffer.from(block);
  }
  return { bytes: await unpacking(bytes, 'standard input'), expectUnchanged: () => Promise.resolve() };
}

/** A manifest of so many bytes is a file of a few kilobytes that means harm. */
const mostUnpacked = 8 * 1024 ** 3;

async function unpacking(parts: Parts<Buffer>, file: string): Promise<Parts<Buffer>> {
  const start = Buffer.concat(await firstParts(parts, 2));
  const isPacked = start[0] === 0x1f && start[1] === 0x8b;
  return isPacked ? () => unpacked(parts, file) : parts;
}

async function* unpacked(parts: Parts<Buffer>, file: string): AsyncGenerator<Buffer> {
  const unzip = createGunzip({ chunkSize: partBytes });
  // What goes wrong comes out of the unpacking end as well.
  pipeline(parts(), unzip).catch(() => undefined);
  let length = 0;
  try {
    for await (const part of unzip as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > mostUnpacked)
        throw new UsageError(`${printable(file)} unpacks to more than 8 GB: split it`);
      yield part;
    }
  } catch (error) {
    if (!systemCode(error)?.startsWith('Z_')) throw error;
    throw new UsageError(
      `${printable(file)} can't be unpacked: ${toError(error).message}: pack it again, or unpack it first`,
    );
  }
}

async function stateOf(file: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await orUsage(file, stat(file, { bigint: true }));
  return [dev, ino, size, mtimeNs, ctimeNs].join();
}

async function* readParts(file: string): AsyncGenerator<Buffer> {
  const parts = createReadStream(file, { highWaterMark: partBytes }) as AsyncIterable<Buffer>;
  try {
    yield* parts;
  } catch (error) {
    throw unreadable(file, error);
  }
}

/** The first so many parts' worth of bytes or characters that are at least as long. */
export async function firstParts<T extends { length: number }>(
  parts: Parts<T>,
  length: number,
): Promise<T[]> {
  const first: T[] = [];
  let sum = 0;
  for await (const part of parts()) {
    first.push(part);
    sum += part.length;
    if (sum >= length) break;
  }
  return first;
}

/** @throws UsageError instead of the system's error */
export async function orUsage<T>(file: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    throw unreadable(file, error);
  }
}

function unreadable(file: string, error: unknown): UsageError {
  const problem = systemCode(error) === 'ENOENT' ? 'there is no such file' : toError(error).message;
  return new UsageError(`${printable(file)}: ${printable(problem)}: check the manifest's path and rights`);
}
