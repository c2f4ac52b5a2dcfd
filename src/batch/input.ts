import pLimit from 'p-limit';
import type { Fit } from '../image/needs.ts';
import type { Preparer } from '../image/preparer.ts';
import type { Row, Source } from '../model.ts';
import type { Run } from '../records/runs.ts';

/** A row's reference pictures, read and hashed once. The fingerprint goes by their files, whatever is made of them. */
export interface Input {
  pictures: ({ bytes: Buffer } | { url: string })[];
  sources: Source[];
  /** What was done to the pictures before they are sent, in words. */
  changes: string[];
  /** Lets the next row read its pictures: these are sent, or no longer needed. Doing it again changes nothing. */
  release(): void;
}

export interface InputReader {
  /** @throws EditError input_… when a picture is gone, unreadable, none, or can't be made fit to be sent */
  read(row: Row, how: PictureRules): Promise<Input>;
}

/** What pictures may be like that are sent. */
export interface PictureRules {
  /** Longest side in pixels; undefined: any. */
  maxSide: number | undefined;
  /** Refuse pictures that would have to be changed. */
  strict: boolean;
}

/** What a run's options say about its pictures. */
export function pictureRulesOf({ input_max: maxSide, strict = false }: Run): PictureRules {
  return { maxSide, strict };
}

/** The API's limit for a picture sent as base64, in bytes after decoding. */
const maxPictureBytes = 8_000_000;

/** Base64 adds a third, and the body may hold 40 MB in all. */
const maxRowBytes = 29_000_000;

/** What one of a row's pictures has to be like: together they make one request. */
export const fitOf = (pictures: number, { maxSide }: PictureRules): Fit => ({
  maxBytes: Math.min(maxPictureBytes, Math.floor(maxRowBytes / Math.max(1, pictures))),
  maxSide,
});

/**
 * Reads pictures for a few rows ahead of the throttle, however many wait: bytes that wait for a slot are what memory
 * is used for.
 * @param ahead rows whose pictures are held at a time
 */
export function createInputReader(ahead: number, preparer: Pick<Preparer, 'prepare'>): InputReader {
  const seats = pLimit(ahead);
  return {
    async read(row, how) {
      const release = row.pictures.some(({ kind }) => kind === 'file')
        ? await seat(seats)
        : (): void => undefined;
      try {
        return { ...(await readAll(row, how, preparer)), release };
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

async function readAll(
  { pictures: wanted }: Row,
  how: PictureRules,
  preparer: Pick<Preparer, 'prepare'>,
): Promise<Omit<Input, 'release'>> {
  const input: Omit<Input, 'release'> = { pictures: [], sources: [], changes: [] };
  for (const [at, picture] of wanted.entries()) {
    if (picture.kind === 'url') {
      input.pictures.push({ url: picture.url });
      input.sources.push(picture);
      continue;
    }
    const { strict } = how;
    const order = { path: picture.path, strict, ...fitOf(wanted.length, how) };
    const { bytes, source, changes } = await preparer.prepare(order);
    input.pictures.push({ bytes });
    input.sources.push(source);
    const which = wanted.length > 1 ? `picture ${at + 1}: ` : '';
    if (changes.length > 0) input.changes.push(`${which}${changes.join(', ')}`);
  }
  return input;
}
