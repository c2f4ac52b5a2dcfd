import { SurroundingsError } from '../errors.ts';
import { KeyTable } from '../key-table.ts';
import { keyOf, type Call } from './call.ts';
import type { RecordFiles } from './files.ts';
import {
  indexName,
  indexState,
  loadIndex,
  readCalls,
  readHead,
  toBucketLine,
  toLine,
  type Index,
  type LineHead,
} from './index-file.ts';
import { createWindow } from './lines.ts';

/** All calls of one row, ascending: its story. */
interface Story {
  id: string;
  calls: Call[];
}

/**
 * The stories of all rows as they were when it was looked, by their places in the index rather than by their calls: a
 * million rows are some 60 MB. Which calls a row has is read when it is asked for.
 */
export interface Stories {
  /** A row's calls, ascending; none is an empty list. */
  of(id: string): Promise<Call[]>;
  /** As `of`, but the row stays one that nobody has asked for. */
  peek(id: string): Promise<Call[]>;
  /** Rows that had a call, in no order; with `wanted` those of the index only where their line's head is. */
  all(wanted?: (head: LineHead) => boolean): AsyncGenerator<Story>;
  /** Those of them that nobody has asked for by `of`. */
  unasked(wanted?: (head: LineHead) => boolean): AsyncGenerator<Story>;
}

/** Reads a row's calls from its folder. */
type ReadFolder = (key: string) => Promise<Call[]>;

const folder = '.reshoot/calls';

export const bucketFolder = (bucket: string): string => `${folder}/${bucket}`;
export const rowFolder = (key: string): string => `${bucketFolder(key.slice(0, 2))}/${key}`;

const isKey = /^[0-9a-f]{40}$/;
const isBucket = /^[0-9a-f]{2}$/;

/** Within this time two changes of a folder may bear the same date, on the coarsest of file systems. */
const grainMs = 2000;

/** A worker knows hundreds of outputs: what it saw of each is let go. */
const keptMs = 60_000;

/** What the index is worth at a moment. */
interface Look {
  index: Index;
  /** Of each line: its row's folder is there and no newer. */
  fresh: Uint8Array;
  /** Rows whose line is missing or old: their folders are read. */
  stale: KeyTable;
  /** The dates of all buckets. */
  buckets: Map<string, number>;
}

/** Looks at the records below an output, again and again; the index is read anew only when it has changed. */
export function createLookout(files: RecordFiles, readFolder: ReadFolder) {
  let last: { look: Look; at: number; forget: NodeJS.Timeout } | undefined;

  const look = async (oldestMs: number): Promise<Look> => {
    const at = performance.now();
    if (last && at - last.at <= oldestMs) return last.look;
    const known = last?.look.index;
    const index = known?.state === (await indexState(files)) ? known : await loadIndex(files);
    const now: Look = {
      index,
      fresh: new Uint8Array(index.count),
      stale: new KeyTable(),
      buckets: new Map(),
    };
    const untouched = new Uint8Array(256);
    for (const { name, changedMs } of await files.dated(folder)) {
      if (!isBucket.test(name)) continue;
      now.buckets.set(name, changedMs);
      if (index.buckets.get(name) === changedMs) untouched[Number.parseInt(name, 16)] = 1;
      else await lookInto(name, now);
    }
    for (let line = 0; line < index.count; line++)
      if (untouched[index.bucket[line] ?? 0]) now.fresh[line] = 1;
    clearTimeout(last?.forget);
    last = { look: now, at, forget: setTimeout(() => (last = undefined), keptMs).unref() };
    return now;
  };

  const lookInto = async (bucket: string, { index, fresh, stale }: Look): Promise<void> => {
    for (const { name, changedMs } of await files.dated(bucketFolder(bucket))) {
      if (!isKey.test(name)) continue;
      const line = index.lines.get(name);
      if (line === undefined || index.changedMs[line] !== changedMs) stale.set(name, changedMs);
      else fresh[line] = 1;
    }
  };

  return {
    async stories(oldestMs: number): Promise<Stories> {
      return viewOf(await look(oldestMs), files, readFolder);
    },

    /**
     * Rewrites the index where it is not up to date.
     * @param ids the rows that will be asked for, in the order in which they will be
     */
    async rewrite(ids: AsyncIterable<string>): Promise<void> {
      const now = await look(0);
      const isRight = now.stale.size === 0 && now.fresh.every((line) => line === 1);
      if (!isRight || now.index.buckets.size < now.buckets.size)
        await files.write(indexName, newLines(now, ids, Date.now() - grainMs, files, readFolder));
    },
  };
}

const replaced = `${indexName} was replaced by another process while it was read: run the same command again`;

async function foldersIn(files: RecordFiles, parent: string): Promise<string[]> {
  const names = await files.list(parent);
  return names.filter((name) => name.endsWith('/')).map((name) => name.slice(0, -1));
}

function viewOf(now: Look, files: RecordFiles, readFolder: ReadFolder): Stories {
  const { index, fresh, stale, buckets } = now;
  const window = createWindow(files, indexName);
  const asked = new Uint8Array(index.count);
  const askedStale = new KeyTable();

  const bytesOf = (line: number): Promise<Buffer> => window(index.from[line] ?? 0, index.length[line] ?? 0);
  /** The index may have been replaced since: what isn't the row's own line is no line. */
  const callsOf = async (line: number, key: string): Promise<Call[]> =>
    readCalls(await bytesOf(line), key) ?? readFolder(key);

  async function* lines(wanted: (line: number, head: LineHead) => boolean): AsyncGenerator<Story> {
    for (let line = 0; line < index.count; line++) {
      if (fresh[line] === 0) continue;
      const bytes = await bytesOf(line);
      const head = readHead(bytes);
      if (!head || index.lines.get(head.key) !== line) throw new SurroundingsError(replaced);
      if (!wanted(line, head)) continue;
      const calls = readCalls(bytes, head.key) ?? (await readFolder(head.key));
      if (calls[0]) yield { id: calls[0].id, calls };
    }
  }

  async function* folders(wanted: (key: string) => boolean): AsyncGenerator<Story> {
    if (stale.size === 0) return;
    for (const bucket of buckets.keys()) {
      for (const key of await foldersIn(files, bucketFolder(bucket))) {
        if (!stale.has(key) || !wanted(key)) continue;
        const calls = await readFolder(key);
        if (calls[0]) yield { id: calls[0].id, calls };
      }
    }
  }

  const find = async (id: string, isAsked: boolean): Promise<Call[]> => {
    const key = keyOf(id);
    if (stale.size > 0 && stale.has(key)) {
      if (isAsked) askedStale.set(key, 1);
      return readFolder(key);
    }
    const line = index.lines.get(key);
    if (line === undefined || fresh[line] === 0) return [];
    if (isAsked) asked[line] = 1;
    return callsOf(line, key);
  };

  return {
    of: (id) => find(id, true),
    peek: (id) => find(id, false),
    async *all(wanted = () => true) {
      yield* lines((_line, head) => wanted(head));
      yield* folders(() => true);
    },
    async *unasked(wanted = () => true) {
      yield* lines((line, head) => asked[line] === 0 && wanted(head));
      yield* folders((key) => !askedStale.has(key));
    },
  };
}

/**
 * Leaves out what may change again without looking newer: rows that just changed or have an open call, and buckets with
 * such rows.
 */
async function* newLines(
  { index, fresh, stale, buckets }: Look,
  ids: AsyncIterable<string>,
  before: number,
  files: RecordFiles,
  readFolder: ReadFolder,
): AsyncGenerator<string | Buffer> {
  const window = createWindow(files, indexName);
  const written = new Uint8Array(index.count);
  const writtenStale = new KeyTable();
  const unsettled = new Set<string>();

  const oldLine = async (line: number): Promise<Buffer> => {
    written[line] = 1;
    // With its end.
    return window(index.from[line] ?? 0, (index.length[line] ?? 0) + 1);
  };
  const newLine = async (key: string): Promise<string> => {
    writtenStale.set(key, 1);
    const changedMs = stale.get(key) ?? Infinity;
    const calls = changedMs < before ? await readFolder(key) : [];
    if (calls.length > 0 && calls.every((call) => call.closed)) return toLine(key, changedMs, calls);
    unsettled.add(key.slice(0, 2));
    return '';
  };

  for await (const id of ids) {
    const key = keyOf(id);
    const line = index.lines.get(key);
    if (stale.has(key)) yield await newLine(key);
    else if (line !== undefined && fresh[line] === 1) yield await oldLine(line);
  }
  for (let line = 0; line < index.count; line++) {
    if (fresh[line] === 1 && written[line] === 0) yield await oldLine(line);
  }
  for (const bucket of writtenStale.size < stale.size ? buckets.keys() : []) {
    for (const key of await foldersIn(files, bucketFolder(bucket))) {
      if (stale.has(key) && !writtenStale.has(key)) yield await newLine(key);
    }
  }
  for (const [bucket, changedMs] of buckets) {
    if (changedMs < before && !unsettled.has(bucket)) yield toBucketLine({ bucket, changedMs });
  }
}
