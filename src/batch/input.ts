import pLimit from 'p-limit';
import { EditError } from '../errors.ts';
import { readPicture } from '../image/read.ts';
import type { Row, Source } from '../model.ts';

/** A row's reference pictures, read and hashed once: what is sent is what the fingerprint says. */
export interface Input {
  pictures: ({ bytes: Buffer } | { url: string })[];
  sources: Source[];
  /** Lets the next row read its pictures: these are sent, or no longer needed. Doing it again changes nothing. */
  release(): void;
}

export interface InputReader {
  /** @throws EditError input_… when a picture is gone, unreadable, too large or none */
  read(row: Row): Promise<Input>;
}

/** Base64 adds a third, and the body may hold 40 MB in all. */
const maxRowBytes = 29_000_000;

/**
 * Reads pictures for a few rows ahead of the throttle, however many wait: bytes that wait for a slot are what memory
 * is used for.
 * @param ahead rows whose pictures are held at a time
 */
export function createInputReader(ahead: number): InputReader {
  const seats = pLimit(ahead);
  return {
    async read(row) {
      const release = row.pictures.some(({ kind }) => kind === 'file')
        ? await seat(seats)
        : (): void => undefined;
      try {
        return { ...(await readAll(row)), release };
      } catch (error) {
        release();
        throw error;
      }
    },
  };
}

/** Resolves when there is a seat, to the function that leaves it. */
function seat(seats: ReturnType<typeof pLimit>): Promise<() => void> {
  return new Promise((taken) => {
    void seats(() => new Promise<void>((leave) => taken(leave)));
  });
}

async function readAll(row: Row): Promise<Pick<Input, 'pictures' | 'sources'>> {
  const pictures: Input['pictures'] = [];
  const sources: Source[] = [];
  let bytes = 0;
  for (const picture of row.pictures) {
    if (picture.kind === 'url') {
      pictures.push({ url: picture.url });
      sources.push(picture);
      continue;
    }
    const read = await readPicture(picture);
    pictures.push({ bytes: read.bytes });
    sources.push(read.source);
    bytes += read.bytes.length;
  }
  if (bytes > maxRowBytes) {
    throw new EditError(
      'input_too_large',
      `the row's pictures are ${bytes} bytes together; the API takes ${maxRowBytes}`,
    );
  }
  return { pictures, sources };
}
