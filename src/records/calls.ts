import { SurroundingsError } from '../errors.ts';
import { callSchema, keyOf, type Call, type Closed } from './call.ts';
import type { RecordFiles } from './files.ts';
import { bucketFolder, callsFolder, createLookout, rowFolder, type Stories } from './stories.ts';

/** A row's call records, and what all of them say together. */
export interface Calls {
  /** A row's calls as they are now, ascending; none is an empty list. */
  story(id: string): Promise<Call[]>;
  /** The call of that name, as `callId` makes them, as it is now; undefined: it has no record. */
  named(name: string): Promise<Call | undefined>;
  /** Calls that were opened later than that, epoch milliseconds; damaged records are passed over. */
  since(ms: number): AsyncIterable<Call>;
  /** Puts the call on record. False: somebody else opened call `n` of this row first, so it must not be sent. */
  open(call: Call): Promise<boolean>;
  /**
   * Writes a call's outcome, unless it has one: that stays. Only its creator does, or whoever adopts a finished answer
   * of a dead one.
   * @returns the record as it is now
   */
  close(call: Call, closed: Closed): Promise<Call>;
  /** Its row was reported as held, whatever rule the call was sent under: it stays so. */
  hold(call: Call): Promise<void>;
  /** The stories of all rows as they are now, or were at most so many milliseconds ago. */
  stories(oldestMs?: number): Promise<Stories>;
  /** How the records are now: while this stays what `reindex` returned, none of them has changed. */
  state(): Promise<string>;
  /**
   * Rewrites the index from the records, so that the next start reads one file instead of thousands.
   * @param ids rows in the order in which they will be asked for; the others follow
   * @returns undefined where a record may yet change without looking newer: it was just written, its call is open, or another
   *   process rewrote the index meanwhile
   */
  reindex(ids: AsyncIterable<string>): Promise<string | undefined>;
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
  /** The record as somebody else may have left it; a damaged one is written anew. */
  const readNow = async (call: Call): Promise<Call> =>
    callSchema.safeParse(parse(await textOf(files, nameOf(call)))).data ?? call;
  const lookout = createLookout(files, readFolder);
  /** Writes what isn't seen from above the row's folder: its bucket looks changed before, should the power fail, and after. */
  const seen = async <T>(call: Call, write: () => Promise<T>): Promise<T> => {
    await files.touch(bucketOf(call));
    const written = await write();
    await files.touch(bucketOf(call));
    return written;
  };

  return {
    story: (id) => readFolder(keyOf(id)),
    async named(name) {
      const [key = '', n = ''] = name.split('-');
      return callSchema.safeParse(parse(await textOf(files, `${rowFolder(key)}/${n}.json`))).data;
    },
    async *since(ms) {
      for (const bucket of await changedSince(files, callsFolder, ms)) {
        for (const key of await changedSince(files, bucketFolder(bucket), ms)) {
          const calls = await readFolder(key).catch(() => []);
          yield* calls.filter((call) => Date.parse(call.started_at) > ms);
        }
      }
    },
    async open(call) {
      const create = (): Promise<boolean> => files.create(nameOf(call), toText(call));
      // A first call makes the row's folder, which is seen from above; a later one is not.
      return call.n > 1 ? seen(call, create) : create();
    },
    async close(call, closed) {
      const now = await readNow(call);
      if (now.closed) return now;
      const done: Call = { ...call, closed };
      await files.write(nameOf(call), toText(done));
      return done;
    },
    async hold(call) {
      const now = { ...(await readNow(call)), on_unknown: 'hold' as const };
      await seen(call, () => files.write(nameOf(call), toText(now)));
    },
    stories: (oldestMs = 0) => lookout.stories(oldestMs),
    state: () => lookout.state(),
    reindex: (ids) => lookout.rewrite(ids),
  };
}

/** Folders in which something came or went; by the file system's clock, which may differ from ours. */
async function changedSince(files: RecordFiles, folder: string, ms: number): Promise<string[]> {
  const dated = await files.dated(folder);
  return dated.flatMap(({ name, changedMs }) => (changedMs > ms - clocksMs ? name : []));
}

const clocksMs = 60_000;

const bucketOf = (call: Call): string => bucketFolder(keyOf(call.id).slice(0, 2));

const nameOf = (call: Call): string => `${rowFolder(keyOf(call.id))}/${call.n}.json`;

const toText = (call: Call): string => `${JSON.stringify(call, null, 1)}\n`;

async function readCall(files: RecordFiles, name: string): Promise<Call> {
  const call = callSchema.safeParse(parse(await textOf(files, name)));
  if (call.success) return call.data;
  throw new SurroundingsError(
    `${name}: this call record is damaged or of a newer reshoot; what it paid can't be known. ` +
      'Restore it, or move it away if you know that the row was not paid for.',
  );
}

const textOf = async (files: RecordFiles, name: string): Promise<string> =>
  (await files.read(name))?.toString('utf8') ?? '';

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
