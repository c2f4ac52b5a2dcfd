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
  toLine,
  type Index,
  type LineHead,
} from './index-file.ts';
import { createWindow } from './lines.ts';

/** All calls of one row, ascending: its story. */
export interface Story {
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
  /** Rows that had a call, in no order; with `wanted` those of the index only where their line's head is. */
  all(wanted?: (head: LineHead) => boolean): AsyncGenerator<Story>;
  /** Those of them that nobody has asked for by `of`. */
  unasked(wanted?: (head: LineHead) => boolean): AsyncGenerator<Story>;
}

/** Reads a row's calls from its folder. */
type ReadFolder = (key: string) => Promise<Call[]>;

const folder = '.reshoot/calls';

export const rowFolder = (key: string): string => `${folder}/${key.slice(0, 2)}/${key}`;

const isKey = /^[0-9a-f]{40}$/;

/** Within this time two changes of a folder may bear the same date, on the coarsest of file systems. */
const grainMs = 2000;

/** A worker knows hundreds of outputs: what it saw of each is let go. */
const keptMs = 60_000;

/** What the index is worth at a moment. */
interface Look {
  index: Index;
  /** Of each line: its row's folder is there and no newer. */
  fresh: Uint8Array;
  freshCount: number;
  /** Rows whose line is missing or old: their folders are read. */
  stale: KeyTable;
}

/** Looks at the records below an output, again and again; the index is read anew only when it has changed. */
export function createLookout(files: RecordFiles, readFolder: ReadFolder) {
  let last: { look: Look; at: number; forget: NodeJS.Timeout } | undefined;

  const look = async (oldestMs: number): Promise<Look> => {
    const at = performance.now();
    if (last && at - last.at <= oldestMs) return last.look;
    const known = last?.look.index;
    const index = known?.state === (await indexState(files)) ? known : await loadIndex(files);
    const now: Look = { index, fresh: new Uint8Array(index.count), freshCount: 0, stale: new KeyTable() };
    for (const aa of await foldersIn(files, folder)) {
      for (const { name, changedMs } of await files.dated(`${folder}/${aa}`)) {
        if (!isKey.test(name)) continue;
        const line = index.lines.get(name);
        if (line === undefined || index.changedMs[line] !== changedMs) now.stale.set(name, changedMs);
        else {
          now.fresh[line] = 1;
          now.freshCount += 1;
        }
      }
    }
    clearTimeout(last?.forget);
    last = { look: now, at, forget: setTimeout(() => (last = undefined), keptMs).unref() };
    return now;
  };

  return {
    async stories(oldestMs: number): Promise<Stories> {
      return viewOf(await look(oldestMs), files, readFolder);
    },

    /**
     * Rewrites the index where it is not up to date.
     * @param ids the rows that will be asked for, in the order in which they will be
     */
    async rewrite(ids: AsyncIterable<string>, oldestMs: number): Promise<void> {
      const now = await look(oldestMs);
      const isRight = now.stale.size === 0 && now.freshCount === now.index.count;
      if (!isRight) await files.write(indexName, newLines(now, ids, Date.now() - grainMs, files, readFolder));
    },
  };
}

const replaced = `${indexName} was replaced by another process while it was read: run the same command again`;

async function foldersIn(files: RecordFiles, parent: string): Promise<string[]> {
  const names = await files.list(parent);
  return names.filter((name) => name.endsWith('/')).map((name) => name.slice(0, -1));
}

function viewOf(now: Look, files: RecordFiles, readFolder: ReadFolder): Stories {
  const { index, fresh, stale } = now;
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
    for (const aa of await foldersIn(files, folder)) {
      for (const key of await foldersIn(files, `${folder}/${aa}`)) {
        if (!stale.has(key) || !wanted(key)) continue;
        const calls = await readFolder(key);
        if (calls[0]) yield { id: calls[0].id, calls };
      }
    }
  }

  return {
    async of(id) {
      const key = keyOf(id);
      if (stale.size > 0 && stale.has(key)) {
        askedStale.set(key, 1);
        return readFolder(key);
      }
      const line = index.lines.get(key);
      if (line === undefined || fresh[line] === 0) return [];
      asked[line] = 1;
      return callsOf(line, key);
    },
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

/** Leaves out what may change again without looking newer: rows that just changed or have an open call. */
async function* newLines(
  { index, fresh, stale }: Look,
  ids: AsyncIterable<string>,
  before: number,
  files: RecordFiles,
  readFolder: ReadFolder,
): AsyncGenerator<string | Buffer> {
  const window = createWindow(files, indexName);
  const written = new Uint8Array(index.count);
  const writtenStale = new KeyTable();

  const oldLine = async (line: number): Promise<Buffer> => {
    written[line] = 1;
    // With its end.
    return window(index.from[line] ?? 0, (index.length[line] ?? 0) + 1);
  };
  const newLine = async (key: string): Promise<string> => {
    writtenStale.set(key, 1);
    const changedMs = stale.get(key) ?? Infinity;
    if (changedMs >= before) return '';
    const calls = await readFolder(key);
    return calls.every((call) => call.closed) ? toLine(key, changedMs, calls) : '';
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
  if (writtenStale.size === stale.size) return;
  for (const aa of await foldersIn(files, folder)) {
    for (const key of await foldersIn(files, `${folder}/${aa}`)) {
      if (stale.has(key) && !writtenStale.has(key)) yield await newLine(key);
    }
  }
}
