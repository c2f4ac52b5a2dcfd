import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { printable } from '../cells.ts';
import { systemCode, toError, UsageError } from '../errors.ts';

/** Parts of something long, from its start as often as asked. */
export type Parts<T> = () => AsyncIterable<T>;

export interface Source {
  bytes: Parts<Buffer>;
  /** @throws UsageError where the file isn't the one any more that it was when it was opened */
  expectUnchanged(): Promise<void>;
}

const partBytes = 64 * 1024;

/** @throws UsageError here and while it is read where the file can't be read */
export async function openSource(file: string): Promise<Source> {
  const before = await stateOf(file);
  return {
    bytes: () => readParts(file),
    async expectUnchanged() {
      if ((await stateOf(file)) === before) return;
      throw new UsageError(`${printable(file)} was changed while it was read: run again when it is finished`);
    },
  };
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
