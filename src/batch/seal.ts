import type { Row } from '../model.ts';
import { callId, type Call } from '../records/call.ts';
import { fingerprint, knownSources } from '../records/fingerprint.ts';
import { planName, type Seal } from '../records/runs.ts';
import { judge, type RowRules } from '../records/state.ts';
import type { Stories } from '../records/stories.ts';
import type { Storage } from '../storage/storage.ts';
import { createFolders } from './folders.ts';
import { asideName, outputName, rivals, spooledCalls, stands } from './keep.ts';
import { createLongList } from '../long-list.ts';
import type { Output } from './output.ts';
import { lookAtNames } from './standing.ts';

/** What was made of the rows, below the output; nothing of it tells the run. */
const reportFiles = ['results.jsonl', 'results.csv', 'failed.csv', 'calls.csv'].map(
  (name) => `report/${name}`,
);

/** Within this time two changes of a folder may bear the same date, on the coarsest of file systems. */
const grainMs = 2000;

/** More of them than these would make a seal too large to read at every start. */
const mostGone = 10_000;

/** The rules of a run to come, which has made no call yet. */
const later: RowRules = { run: '', maxAttempts: 1, force: false };

/** A row, and what it was judged by. */
export interface Judged {
  row: { row: Row };
  calls: Call[];
  /** The run settled it without a call of the row's own. */
  isNoted: boolean;
  spooled: ReadonlySet<string>;
}

/** Names below an output: of a row's picture, and of where it would lie had it made room for another. */
interface Place {
  name: string;
  aside: string;
  /** Other pictures of the row that stood at its name. */
  rivals: ReturnType<typeof rivals>;
}

/**
 * Where a row's picture is, if the next run would find that it is done and report it as this one does.
 * @param run the run that judged it
 */
function lastingPlace(
  { row: { row }, calls, isNoted, spooled }: Judged,
  run: string,
  origin: string,
): Place | undefined {
  const known = knownSources(row.pictures, calls);
  if (!row.selected || row.invalid !== undefined || isNoted || !known) return undefined;
  // The next plan would say something else of what stands at its name.
  if (row.replaces) return undefined;
  const verdict = judge(row.route, calls, fingerprint(origin, row, known), later);
  if (verdict.is !== 'done' || calls.some((call) => !call.closed || spooled.has(callId(call))))
    return undefined;
  const { call } = verdict;
  const brought = calls.findLast((own) => own.run === run && own.closed?.picture);
  const picture = call.closed?.picture;
  const name = picture && outputName(row, picture.ext);
  if (name === undefined || name !== picture?.output || (brought ?? call) !== call) return undefined;
  return { name, aside: asideName(picture), rivals: rivals(name, picture, calls) };
}

/** Sees all rows of a run that ends, and seals the output if the next run would find nothing to do. */
export interface Sealing {
  add(judged: Judged): void;
  /** @param stories by which the rows were judged @returns undefined: there is something to do, or nobody could tell */
  seal(stories: Stories): Promise<Seal | undefined>;
  close(): void;
}

/** @param ids of the run's rows, in order */
export function createSealing(
  output: Output,
  { run, origin, rows }: { run: string; origin: string; rows: number },
  ids: () => AsyncIterable<string>,
): Sealing {
  const { storage, calls } = output;
  const places = createLongList<Place>();
  const folders = createFolders();
  const standAlone = async (): Promise<boolean> => {
    const standing = lookAtNames(storage);
    for (const { name, aside, rivals: earlier } of places) {
      const [first, ...others] = await standing.alike(name, [name]);
      if (first !== name || others.length > 0 || (await standing.leadsOut(name))) return false;
      if ((await standing.alike(aside, [aside])).includes(aside)) return false;
      if (await stands(storage, name, earlier)) return false;
    }
    return true;
  };
  return {
    add(judged) {
      const place = lastingPlace(judged, run, origin);
      if (!place) return;
      places.push(place);
      folders.note(judged.row.row);
    },
    async seal(stories) {
      if (places.length < rows || (await spooledCalls(storage)).size > 0) return undefined;
      const now = Date.now();
      const found = await folders.look(storage);
      if (!found || found.newestMs >= now - grainMs) return undefined;
      const state = await calls.reindex(ids());
      if (state === undefined || state !== stories.state || !(await standAlone())) return undefined;
      const gone: string[] = [];
      for await (const { id, calls: others } of stories.unasked(({ pictures }) => pictures > 0)) {
        if (gone.length === mostGone) return undefined;
        if (others.some((call) => call.closed?.picture)) gone.push(id);
      }
      return { calls: state, folders: found.state, files: await filesOf(storage, run), gone };
    },
    close: () => places.close(),
  };
}

/** Is everything but the pictures and their folders as it was when the run was sealed? */
export async function holds({ storage, calls }: Output, run: string, seal: Seal): Promise<boolean> {
  if ((await calls.state()) !== seal.calls || (await spooledCalls(storage)).size > 0) return false;
  const files = await filesOf(storage, run);
  return Object.entries(files).every(([name, state]) => state !== '' && seal.files[name] === state);
}

/** The files that hold a run's rows, each with its size and date; '' where it is missing. */
export async function filesOf(storage: Storage, run: string): Promise<Seal['files']> {
  const states: Seal['files'] = {};
  for (const name of [planName(run), ...reportFiles]) {
    const facts = await storage.stat(name);
    states[name] = facts ? `${facts.bytes}.${facts.changedMs}` : '';
  }
  return states;
}
