import { hash } from 'node:crypto';
import { SurroundingsError } from '../errors.ts';
import { KeyTable } from '../key-table.ts';
import { keyOf, type Call } from './call.ts';
import type { RecordFiles } from './files.ts';
import {
  factsOf,
  indexName,
  indexState,
  loadIndex,
  readCalls,
  readHead,
  spanOf,
  toBucketLine,
  toLine,
  type Index,
  type LineFacts,
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
  /** Rows that had a call, in no order; with `wanted` those of the index only where their lines are. */
  all(wanted?: (facts: LineFacts) => boolean): AsyncGenerator<Story>;
  /** Those of them that nobody has asked for by `of`. */
  unasked(wanted?: (facts: LineFacts) => boolean): AsyncGenerator<Story>;
  /** Tells what was seen from every other state of the records, as far as calls that are opened go. */
  readonly state: string;
}

/** Reads a row's calls from its folder. */
type ReadFolder = (key: string) => Promise<Call[]>;

export const callsFolder = '.reshoot/calls';

export const bucketFolder = (bucket: string): string => `${callsFolder}/${bucket}`;
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
  /** Whoever has stories in hand still holds their index: a second one beside it would be as large. */
  let held: WeakRef<Index> | undefined;

  const look = async (oldestMs: number): Promise<Look> => {
    const at = performance.now();
    if (last && at - last.at <= oldestMs) return last.look;
    const known = held?.deref();
    const index = known?.state === (await indexState(files)) ? known : await loadIndex(files);
    held = new WeakRef(index);
    const now: Look = {
      index,
      fresh: new Uint8Array(index.count),
      stale: new KeyTable(),
      buckets: await bucketsOf(files),
    };
    const untouched = new Uint8Array(256);
    for (const [name, changedMs] of now.buckets) {
      if (index.buckets.get(name) === changedMs) untouched[Number.parseInt(name, 16)] = 1;
      else await lookInto(name, now);
    }
    for (let line = 0; line < index.count; line++)
      if (untouched[index.columns.bucket.at(line)]) now.fresh[line] = 1;
    clearTimeout(last?.forget);
    last = { look: now, at, forget: setTimeout(() => (last = undefined), keptMs).unref() };
    return now;
  };

  /** Where a disk's dates are coarse, another file of the same length looks like the one that is known. */
  const forget = (): void => {
    clearTimeout(last?.forget);
    [last, held] = [undefined, undefined];
  };

  const lookInto = async (bucket: string, { index, fresh, stale }: Look): Promise<void> => {
    for (const { name, changedMs } of await files.dated(bucketFolder(bucket))) {
      if (!isKey.test(name)) continue;
      const line = index.lines.get(name);
      if (line === undefined || index.columns.changedMs.at(line) !== changedMs) stale.set(name, changedMs);
      else fresh[line] = 1;
    }
  };

  return {
    async stories(oldestMs: number): Promise<Stories> {
      return viewOf(await look(oldestMs), files, readFolder, forget);
    },

    /** How the records are now, as `Stories.state` tells it, without a look at more than the buckets. */
    async state(): Promise<string> {
      return stateOf(await bucketsOf(files));
    },

    /**
     * Rewrites the index where it is not up to date.
     * @param ids the rows that will be asked for, in the order in which they will be
     * @returns the state of the records, as long as which holds none of them has changed; undefined: one may yet, or
     * another process rewrote the index meanwhile
     */
    async rewrite(ids: AsyncIterable<string>): Promise<string | undefined> {
      const now = await look(0);
      if (isSame(now.index.buckets, now.buckets)) return stateOf(now.buckets);
      const settled = new Map<string, number>();
      try {
        await files.write(indexName, newLines(now, ids, settled, files, readFolder));
        forget();
      } catch (error) {
        // Somebody else was quicker, and theirs is no worse.
        if ((await indexState(files)) !== now.index.state) return undefined;
        throw error;
      }
      return isSame(settled, now.buckets) ? stateOf(now.buckets) : undefined;
    },
  };
}

async function bucketsOf(files: RecordFiles): Promise<Map<string, number>> {
  const found = (await files.dated(callsFolder)).filter(({ name }) => isBucket.test(name));
  return new Map(found.map(({ name, changedMs }) => [name, changedMs]));
}

const isSame = (some: Map<string, number>, others: Map<string, number>): boolean =>
  some.size === others.size && [...some].every(([bucket, changedMs]) => others.get(bucket) === changedMs);

const stateOf = (buckets: Map<string, number>): string =>
  hash('sha256', JSON.stringify([...buckets].sort(([a], [b]) => (a < b ? -1 : 1))));

const replaced = `${indexName} was replaced by another process while it was read: run the same command again`;

async function foldersIn(files: RecordFiles, parent: string): Promise<string[]> {
  const names = await files.list(parent);
  return names.filter((name) => name.endsWith('/')).map((name) => name.slice(0, -1));
}

/** @param forget is told where the index turns out to be another */
function viewOf(now: Look, files: RecordFiles, readFolder: ReadFolder, forget: () => void): Stories {
  const { index, fresh, stale, buckets } = now;
  const window = createWindow(files, indexName);
  const asked = new Uint8Array(index.count);
  const askedStale = new KeyTable();

  const bytesOf = (line: number): Promise<Buffer> => {
    const { from, length } = spanOf(index, line);
    return window(from, length);
  };
  /** The index may have been replaced since: what isn't the row's own line is no line. */
  const callsOf = async (line: number, key: string): Promise<Call[]> =>
    readCalls(await bytesOf(line), key) ?? readFolder(key);

  async function* lines(wanted: (line: number) => boolean): AsyncGenerator<Story> {
    for (let line = 0; line < index.count; line++) {
      if (fresh[line] === 0 || !wanted(line)) continue;
      const bytes = await bytesOf(line);
      const head = readHead(bytes);
      if (!head || index.lines.get(head.key) !== line) {
        forget();
        throw new SurroundingsError(replaced);
      }
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
      yield* lines((line) => wanted(factsOf(index, line)));
      yield* folders(() => true);
    },
    async *unasked(wanted = () => true) {
      yield* lines((line) => asked[line] === 0 && wanted(factsOf(index, line)));
      yield* folders((key) => !askedStale.has(key));
    },
    state: stateOf(buckets),
  };
}

/**
 * Leaves out what may change again without looking newer: rows that just changed or have an open call, and buckets with
 * such rows.
 * @param settled takes the buckets that get a line
 * @throws SurroundingsError when another process has replaced the index since: what is copied from it may be cut
 */
async function* newLines(
  { index, fresh, stale, buckets }: Look,
  ids: AsyncIterable<string>,
  settled: Map<string, number>,
  files: RecordFiles,
  readFolder: ReadFolder,
): AsyncGenerator<string | Buffer> {
  const before = Date.now() - grainMs;
  const window = createWindow(files, indexName);
  const written = new Uint8Array(index.count);
  const writtenStale = new KeyTable();
  const unsettled = new Set<string>();

  const oldLine = async (line: number): Promise<Buffer> => {
    written[line] = 1;
    const { from, length } = spanOf(index, line);
    // With its end.
    const bytes = await window(from, length + 1);
    const head = bytes.indexOf(10) === length ? readHead(bytes) : undefined;
    if (head && index.lines.get(head.key) === line && head.changedMs === index.columns.changedMs.at(line))
      return bytes;
    throw new SurroundingsError(replaced);
  };
  const newLine = async (key: string): Promise<string> => {
    writtenStale.set(key, 1);
    const changedMs = stale.get(key) ?? Infinity;
    const calls = changedMs < before ? await readFolder(key) : [];
    if (calls.length > 0 && calls.every((call) => call.closed)) return toLine(key, changedMs, calls);
    unsettled.add(key.slice(0, 2));
    return '';
  };

  // An id may stand in more than one row of a plan.
  for await (const id of ids) {
    const key = keyOf(id);
    const line = index.lines.get(key);
    if (stale.has(key)) {
      if (!writtenStale.has(key)) yield await newLine(key);
    } else if (line !== undefined && fresh[line] === 1 && written[line] === 0) yield await oldLine(line);
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
    if (changedMs >= before || unsettled.has(bucket)) continue;
    settled.set(bucket, changedMs);
    yield toBucketLine({ bucket, changedMs });
  }
  if ((await indexState(files)) !== index.state) throw new SurroundingsError(replaced);
}
