import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pLimit from 'p-limit';
import type { Original } from '../image/shrink.ts';
import { createThumbnailer, type Thumbnailer } from '../image/thumbnail.ts';
import type { Row, Source } from '../model.ts';
import { thumbnailKey, thumbnailName } from '../report/page.ts';
import type { ReportRow } from '../report/rows.ts';
import type { Call } from '../records/call.ts';
import type { Note } from '../records/runs.ts';
import type { Storage } from '../storage/storage.ts';
import { outputName } from './keep.ts';

/** A row's pictures as files: what was sent, and what came back. */
export interface Sides {
  before?: Original | undefined;
  after?: Original | undefined;
}

/** What is written while the next is decoded. */
const lanes = 8;

/** The row's first reference picture as it was last read, if it is a file; the API uses no other. */
export function beforeOf(
  { pictures }: Row,
  calls: Call[],
  note: Note | undefined,
  payer: Call | undefined,
): Original | undefined {
  const [first] = pictures;
  if (first?.kind !== 'file') return undefined;
  const read = [...calls, ...(note ? [note] : [])].flatMap(({ sources }) => sources.slice(0, 1));
  const source: Source | undefined =
    read.findLast((one) => one.kind === 'file' && one.path === first.path) ?? payer?.sources[0];
  if (source?.kind !== 'file') return undefined;
  return { file: source.path, bytes: source.bytes, sha256: source.sha256 };
}

/** The row's picture in the output, if it has one that lies on this machine. */
export function afterOf(
  storage: Storage,
  { output, facts }: Pick<ReportRow, 'output' | 'facts'>,
): Original | undefined {
  if (output === undefined || !facts || !storage.uri.startsWith('file:')) return undefined;
  return { file: join(fileURLToPath(storage.uri), output), bytes: facts.bytes, sha256: facts.sha256 };
}

/** Of a row's pictures, the keys of the thumbnails that exist. */
export function thumbsOf({ before, after }: Sides, made: ReadonlySet<string>): ReportRow['thumbs'] {
  const keyOf = (side: Original | undefined): string | undefined => {
    const key = side && thumbnailKey(side.sha256);
    return key !== undefined && made.has(key) ? key : undefined;
  };
  return { before: keyOf(before), after: keyOf(after) };
}

/**
 * Makes the thumbnails that are missing; a picture that is gone, has changed or does not decode gets none.
 * A report without them is still a report, so that no fault gets out of here: the next report tries again.
 * @param withinMs give up the rest after this many milliseconds
 * @returns the keys of all thumbnails in the output
 */
export async function makeThumbs(
  storage: Storage,
  originals: AsyncIterable<Original>,
  withinMs: number,
  thumbnailer: Thumbnailer = createThumbnailer(),
): Promise<Set<string>> {
  const made = new Set<string>();
  const end = performance.now() + withinMs;
  try {
    for await (const key of existing(storage)) made.add(key);
    const missing = withoutTwins(originals, new Set(made));
    const lane = async (): Promise<void> => {
      // All lanes draw from one generator: where one leaves the loop, it ends for all.
      for await (const original of missing) {
        if (performance.now() > end) return;
        const webp = await thumbnailer.make(original);
        if (!webp) continue;
        const key = thumbnailKey(original.sha256);
        await storage.write(`report/${thumbnailName(key)}`, webp);
        made.add(key);
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: lanes }, lane));
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
  } catch {
    // Whatever also harms the report will be said by the report.
  } finally {
    await thumbnailer.close();
  }
  return made;
}

/** Makes thumbnails while a run is on, so that its report need not wait for them; what it misses the report makes. */
export interface EarlyThumbs {
  /** A row's picture stands at its name. */
  add(storage: Storage, row: Row, call: Call): void;
  /** Gives up what waits. */
  close(): Promise<void>;
}

/** Beyond so many that wait, a picture's thumbnail is left to the report. */
const mostWaiting = 200;

export function createEarlyThumbs(
  thumbnailer: Thumbnailer = createThumbnailer({ processes: 1 }),
): EarlyThumbs {
  const line = pLimit(1);
  const making = new Set<string>();
  let closed = false;
  const make = async (storage: Storage, original: Original): Promise<void> => {
    const name = `report/${thumbnailName(thumbnailKey(original.sha256))}`;
    if (closed || (await storage.stat(name))) return;
    const webp = await thumbnailer.make(original);
    if (webp) await storage.write(name, webp);
  };
  return {
    add(storage, row, call) {
      const picture = call.closed?.picture;
      if (!picture || making.size > mostWaiting) return;
      const facts = { output: outputName(row, picture.ext), facts: picture };
      for (const original of [beforeOf(row, [call], undefined, undefined), afterOf(storage, facts)]) {
        if (!original || making.has(original.sha256)) continue;
        making.add(original.sha256);
        // The report says what it can't mend.
        const forget = (): boolean => making.delete(original.sha256);
        line(make, storage, original).then(forget, forget);
      }
    },
    async close() {
      closed = true;
      await line(() => thumbnailer.close());
    },
  };
}

async function* existing(storage: Storage): AsyncIterable<string> {
  for (const folder of await storage.list('report/thumbs')) {
    if (!folder.endsWith('/')) continue;
    for (const name of await storage.list(`report/thumbs/${folder.slice(0, -1)}`)) {
      const key = /^([0-9a-f]{32})\.webp$/.exec(name)?.[1];
      if (key !== undefined) yield key;
    }
  }
}

/** Each content once, and none whose key is known. */
async function* withoutTwins(
  originals: AsyncIterable<Original>,
  known: Set<string>,
): AsyncGenerator<Original> {
  for await (const original of originals) {
    const key = thumbnailKey(original.sha256);
    if (known.has(key)) continue;
    known.add(key);
    yield original;
  }
}
