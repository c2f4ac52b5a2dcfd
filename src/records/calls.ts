import { z } from 'zod';
import { SurroundingsError } from '../errors.ts';
import { callSchema, keyOf, type Call, type Closed } from './call.ts';
import type { RecordFiles } from './files.ts';

const folder = '.reshoot/calls';
const indexName = '.reshoot/index.jsonl';

/** Within this time two changes of a folder may bear the same date, on the coarsest of file systems. */
const grainMs = 2000;

/** All calls of one row, ascending: its story. */
interface Story {
  id: string;
  calls: Call[];
}

const indexLine = z.object({
  v: z.literal(1),
  key: z.string(),
  changed_ms: z.number(),
  calls: z.array(callSchema),
});
type IndexLine = z.infer<typeof indexLine>;

export interface Calls {
  /** A row's calls, ascending; none is an empty list. */
  story(id: string): Promise<Call[]>;
  /** Puts the call on record. False: somebody else opened call `n` of this row first, so it must not be sent. */
  open(call: Call): Promise<boolean>;
  /** Writes a call's outcome. Only its creator does, or whoever adopts a finished answer of a dead one. */
  close(call: Call, closed: Closed): Promise<Call>;
  /** Its row was reported as held, whatever rule the call was sent under: it stays so. */
  hold(call: Call): Promise<void>;
  /** Every row that ever had a call, in no order. */
  stories(): AsyncIterable<Story>;
  /** The same by the rows' ids. */
  storiesById(): Promise<Map<string, Call[]>>;
  /** Rewrites the index from the records, so that the next start reads one file instead of thousands. */
  reindex(): Promise<void>;
}

/**
 * Call records below an output: `.reshoot/calls/<aa>/<key of id>/<n>.json`, one file a call, and an index derived
 * from them, believed only where no record is newer.
 */
export function createCalls(files: RecordFiles): Calls {
  const readFolder = async (key: string): Promise<Call[]> => {
    const names = await files.list(rowFolder(key));
    const numbers = names.flatMap((name) => /^(\d+)\.json$/.exec(name)?.[1] ?? []).map(Number);
    const calls = numbers.sort((a, b) => a - b).map((n) => readCall(files, `${rowFolder(key)}/${n}.json`));
    return Promise.all(calls);
  };

  const foldersIn = async (parent: string): Promise<string[]> =>
    (await files.list(parent)).filter((name) => name.endsWith('/')).map((name) => name.slice(0, -1));

  const lines = async function* (): AsyncIterable<IndexLine> {
    const index = await readIndex(files);
    for (const aa of await foldersIn(folder)) {
      for (const key of await foldersIn(`${folder}/${aa}`)) {
        // Looked at before it is read: a change in between makes the line look old, never the folder.
        const changed = (await files.stat(rowFolder(key)))?.changedMs ?? 0;
        const known = index.get(key);
        yield known?.changed_ms === changed
          ? known
          : { v: 1, key, changed_ms: changed, calls: await readFolder(key) };
      }
    }
  };

  return {
    story: (id) => readFolder(keyOf(id)),
    open: (call) => files.create(nameOf(call), toText(call)),
    async close(call, closed) {
      const done: Call = { ...call, closed };
      await files.write(nameOf(call), toText(done));
      return done;
    },
    hold: (call) => files.write(nameOf(call), toText({ ...call, on_unknown: 'hold' })),
    async *stories() {
      for await (const { calls } of lines()) if (calls[0]) yield { id: calls[0].id, calls };
    },
    async storiesById() {
      const stories = new Map<string, Call[]>();
      for await (const { calls } of lines()) if (calls[0]) stories.set(calls[0].id, calls);
      return stories;
    },
    async reindex() {
      await files.write(indexName, settledLines(lines(), Date.now() - grainMs));
    },
  };
}

const rowFolder = (key: string): string => `${folder}/${key.slice(0, 2)}/${key}`;

const nameOf = (call: Call): string => `${rowFolder(keyOf(call.id))}/${call.n}.json`;

const toText = (call: Call): string => `${JSON.stringify(call, null, 1)}\n`;

/** Leaves out what may change again without looking newer: rows that just changed or have an open call. */
async function* settledLines(lines: AsyncIterable<IndexLine>, before: number): AsyncIterable<string> {
  for await (const line of lines) {
    if (line.changed_ms < before && line.calls.every((call) => call.closed))
      yield `${JSON.stringify(line)}\n`;
  }
}

async function readCall(files: RecordFiles, name: string): Promise<Call> {
  const text = (await files.read(name))?.toString('utf8') ?? '';
  const call = callSchema.safeParse(parse(text));
  if (call.success) return call.data;
  throw new SurroundingsError(
    `${name}: this call record is damaged or of a newer reshoot; what it paid can't be known. ` +
      'Restore it, or move it away if you know that the row was not paid for.',
  );
}

async function readIndex(files: RecordFiles): Promise<Map<string, IndexLine>> {
  const text = (await files.read(indexName))?.toString('utf8') ?? '';
  const index = new Map<string, IndexLine>();
  for (const line of text.split('\n')) {
    const parsed = indexLine.safeParse(parse(line));
    if (parsed.success) index.set(parsed.data.key, parsed.data);
  }
  return index;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
