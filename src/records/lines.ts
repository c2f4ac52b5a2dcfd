import type { RecordFiles } from './files.ts';

/** A line without its end, and the byte at which it begins. */
export interface Line {
  from: number;
  bytes: Buffer;
  /** False: the file ends in the middle of it. */
  whole: boolean;
}

const window = 2 ** 20;

/** A file's bytes in order, a window at a time. */
export async function* fileBlocks(files: RecordFiles, name: string): AsyncGenerator<Buffer> {
  for (let at = 0; ;) {
    const read = await files.readRange(name, at, window);
    if (read.length === 0) return;
    yield read;
    at += read.length;
  }
}

/** A file's lines in order, some at a time; never more of it in memory than a window and a line. */
export async function* lineBlocks(files: RecordFiles, name: string): AsyncGenerator<Line[]> {
  let rest: Buffer = Buffer.alloc(0);
  let at = 0;
  for await (const read of fileBlocks(files, name)) {
    const bytes = rest.length > 0 ? Buffer.concat([rest, read]) : read;
    const start = at - rest.length;
    at += read.length;
    const lines: Line[] = [];
    let from = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, from)) {
      lines.push({ from: start + from, bytes: bytes.subarray(from, end), whole: true });
      from = end + 1;
    }
    rest = bytes.subarray(from);
    if (lines.length > 0) yield lines;
  }
  if (rest.length > 0) yield [{ from: at - rest.length, bytes: rest, whole: false }];
}

/** The same as text. */
export async function* textLines(files: RecordFiles, name: string): AsyncGenerator<string[]> {
  for await (const lines of lineBlocks(files, name)) yield lines.map(({ bytes }) => bytes.toString('utf8'));
}

/**
 * Reads parts of a file that mostly follow each other, a window at a time.
 * @returns a function of the first byte and the length
 */
export function createWindow(
  files: RecordFiles,
  name: string,
): (from: number, length: number) => Promise<Buffer> {
  let start = 0;
  let bytes: Buffer = Buffer.alloc(0);
  let last = -1;
  return async (from, length) => {
    const follows = last >= 0 && from >= last && from - last < window;
    last = from + length;
    if (from < start || from + length > start + bytes.length) {
      const read = await files.readRange(name, from, follows ? Math.max(window, length) : length);
      if (!follows) return read;
      [start, bytes] = [from, read];
    }
    return bytes.subarray(from - start, from - start + length);
  };
}
