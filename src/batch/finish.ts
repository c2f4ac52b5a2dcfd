import { rm } from 'node:fs/promises';
import { EditError, exitCodes } from '../errors.ts';
import type { Original } from '../image/shrink.ts';
import { writeCarriedReport } from '../report/carried.ts';
import { writeReport, type Put, type ReportInput } from '../report/write.ts';
import type { BookedCall } from '../report/books.ts';
import type { ReportRow } from '../report/rows.ts';
import { createTally, type RunFacts, type Summary } from '../report/summary.ts';
import { callId, isCopy, keyOf, type Call } from '../records/call.ts';
import { fingerprint, knownSources } from '../records/fingerprint.ts';
import { textLines } from '../records/lines.ts';
import type { PlannedRow, Seal, Stop } from '../records/runs.ts';
import type { Stories } from '../records/stories.ts';
import { rulesOf } from './edit.ts';
import { place, spooledCalls, spoolFiles } from './keep.ts';
import { outcomeOf, toReportCall } from './outcome.ts';
import type { Output } from './output.ts';
import { createSealing, filesOf, holds, type Judged } from './seal.ts';
import { afterOf, beforeOf, makeThumbs, thumbsOf, type Sides } from './thumbs.ts';

/** Whoever stopped a run waits for its report, not for its thumbnails; `report` makes the rest. */
const thumbsAfterStopMs = 10_000;

/**
 * Ends a run: writes the report from plan and records, the index for the next start, and last the run's end.
 * After a crash it is done again; once it is done, never.
 */
export async function finishRun(output: Output, id: string, stop: Stop | undefined): Promise<void> {
  if (await output.runs.end(id)) return;
  try {
    await finish(output, id, stop);
  } catch (error) {
    if (!(error instanceof Overtaken)) throw error;
  }
  // A file may have been on its way while another process ended this run, and then a later one.
  const latest = (await output.runs.list()).at(-1);
  if (latest !== id) await reportAgain(output);
}

/** Another process has ended the run while this one slept: later runs may have reports by now. */
class Overtaken extends Error {}

async function finish(output: Output, id: string, stop: Stop | undefined): Promise<void> {
  const finishedAt = new Date().toISOString();
  const before = stop ? undefined : await carriedFrom(output, id);
  if (before) return finishCarried(output, id, before, finishedAt);
  await bringHome(output, id);
  const ids = (): AsyncIterable<string> => idsOf(output, id);
  // First, so that the report goes through the index instead of thousands of records.
  await output.calls.reindex(ids());
  const run = await output.runs.read(id);
  const sealing = stop || !run.asked ? undefined : createSealing(output, run, ids);
  try {
    const stories = await output.calls.stories();
    const put = putBeforeEnd(output, id);
    const look = (judged: JudgedRow): void => sealing?.add(judged);
    const summary = await reportOn(output, id, stop, finishedAt, stories, put, look);
    const seal = await sealing?.seal(stories);
    await output.runs.writeEnd(id, { stop, summary: { ...summary }, seal });
  } finally {
    sealing?.close();
  }
}

/**
 * A process may have died between a paid answer and its place, and the run been stopped before the row was started again:
 * whoever ends the run puts such pictures at their names.
 */
async function bringHome({ storage, calls, runs }: Output, id: string): Promise<void> {
  const spooled = await spooledCalls(storage);
  if (spooled.size === 0) return;
  const keys = new Set([...spooled].map((call) => call.replace(/-\d+$/, '')));
  const { origin } = await runs.read(id);
  for await (const { read } of rowsOf(runs.plan(id))) {
    const row = read();
    if (!row.selected || row.invalid !== undefined || row.repeats || !keys.has(keyOf(row.id))) continue;
    const story = await calls.story(row.id);
    const sources = knownSources(row.pictures, story);
    const paid = sources && fingerprint(origin, row, sources);
    // An earlier run's call may have ended since, and this run was stopped before it came to the row.
    const isWanted = (call: Call): boolean => call.run === id || call.fingerprint === paid;
    const brought = story.findLast((call) => call.closed?.picture && isWanted(call));
    const picture = brought?.closed?.picture;
    if (!brought || !picture || !spooled.has(callId(brought))) continue;
    // Where an earlier run's picture is, its record tells: the row's new name is the next run's affair.
    const named = brought.run === id ? row : { ...row, output: picture.output };
    try {
      if (await place(storage, brought, picture, named, story))
        await rm(spoolFiles(storage, brought).bin, { force: true });
    } catch (error) {
      if (!(error instanceof EditError)) throw error;
      // It stays in the spool.
      if (brought.run !== id) continue;
      const told = { error_code: error.code, error_message: error.message };
      await runs.note(id, { row: row.row, status: 'failed', ...told, sources: [] });
    }
  }
}

/** The run whose plan this one took over, where nothing has changed since. */
interface Before {
  run: string;
  seal: Seal;
  summary: Summary;
}

async function carriedFrom({ runs, ...output }: Output, id: string): Promise<Before | undefined> {
  const { carried_from: run } = await runs.read(id);
  const end = run === undefined ? undefined : await runs.end(run);
  if (run === undefined || !end?.seal || (await runs.hasNotes(id))) return undefined;
  if (!(await holds({ runs, ...output }, run, end.seal))) return undefined;
  return { run, seal: end.seal, summary: end.summary as unknown as Summary };
}

/** The earlier run's report is this one's as well, but for what it says of the run itself. */
async function finishCarried(
  output: Output,
  id: string,
  { summary: before, seal }: Before,
  finishedAt: string,
): Promise<void> {
  const stories = await output.calls.stories();
  const judged = await judgedRows(output, id, undefined, stories);
  const input = { ...(await frameOf(output, id, undefined, finishedAt, judged)), before };
  const lines = (): AsyncIterable<string[]> => textLines(output.storage, 'report/results.jsonl');
  const summary = await writeCarriedReport({ ...input, lines }, putBeforeEnd(output, id));
  const files = await filesOf(output.storage, id);
  await output.runs.writeEnd(id, { summary: { ...summary }, seal: { ...seal, files } });
}

async function* idsOf(output: Output, run: string): AsyncIterable<string> {
  for await (const { read } of rowsOf(output.runs.plan(run))) yield read().id;
}

/** What a run had spent that was cut off, and whose place another plan takes. */
export interface Replaced {
  run: string;
  charged: number;
  unknown: number;
}

/** Ends a run that was cut off and will not be taken up again, so that its calls stand in the books of all runs. */
export async function closeReplaced(output: Output, id: string): Promise<Replaced> {
  const stop = { code: exitCodes.fault, reason: 'cut off, and another plan took its place' };
  const tally = createTally(await factsOf(output, id, stop, new Date().toISOString()));
  for await (const { row } of (await judgedRows(output, id, stop, await output.calls.stories()))())
    tally.add(row);
  const summary = tally.summary();
  await output.runs.writeEnd(id, { stop, summary: { ...summary } });
  return { run: id, ...summary.credits };
}

/** Makes the report of the latest run again, finished or not. Undefined: there is no run in this output. */
export async function reportAgain(output: Output): Promise<Summary | undefined> {
  const run = (await output.runs.list()).at(-1);
  if (run === undefined) return undefined;
  const end = await output.runs.end(run);
  const finished = end ? String(end.summary['finished_at']) : new Date().toISOString();
  return reportOn(output, run, end?.stop, finished, await output.calls.stories());
}

async function reportOn(
  output: Output,
  id: string,
  stop: Stop | undefined,
  finishedAt: string,
  stories: Stories,
  put: Put = putInto(output),
  look: (judged: JudgedRow) => void = () => undefined,
): Promise<Summary> {
  const judged = await judgedRows(output, id, stop, stories);
  const input = {
    ...(await frameOf(output, id, stop, finishedAt, judged)),
    rows: () => reportRows(judged(), look),
    otherCalls: () => bookedCalls(stories),
  };
  return writeReport(input, put);
}

/** What a report says of the run and its page, whatever it is made from. */
async function frameOf(
  output: Output,
  id: string,
  stop: Stop | undefined,
  finishedAt: string,
  judged: JudgedRows,
): Promise<Pick<ReportInput, 'run' | 'runs' | 'pageRows'>> {
  return {
    run: await factsOf(output, id, stop, finishedAt),
    async pageRows(wanted, last) {
      const within = stop ? thumbsAfterStopMs : Infinity;
      const made = await makeThumbs(output.storage, picturesOf(judged(wanted, last)), within);
      return withThumbs(judged(wanted, last), made);
    },
    runs: await otherRuns(output, id),
  };
}

const putInto =
  ({ storage }: Output): Put =>
  (name, content) =>
    storage.write(`report/${name}`, content);

/** Writes nothing any more once the run has ended. @throws Overtaken then */
function putBeforeEnd(output: Output, id: string): Put {
  const put = putInto(output);
  return async (name, content) => {
    if (await output.runs.end(id)) throw new Overtaken();
    return put(name, content);
  };
}

async function factsOf(
  output: Output,
  id: string,
  stop: Stop | undefined,
  finishedAt: string,
): Promise<RunFacts> {
  const { manifest, started_at: startedAt, columns } = await output.runs.read(id);
  return { run: id, manifest, startedAt, finishedAt, columns, ...(stop && { stop }) };
}

/** A row's outcome, what it was judged by, and the files of its pictures. */
interface JudgedRow extends Judged {
  row: ReportRow;
  sides(): Sides;
}

/** The rows of a run, all or those that are wanted up to the last of them, in the manifest's order. */
type JudgedRows = (wanted?: (row: number) => boolean, last?: number) => AsyncIterable<JudgedRow>;

/** Looks at the records once; the rows can then be gone through as often as there are files to write. */
export async function judgedRows(
  output: Output,
  id: string,
  stop: Stop | undefined,
  stories: Stories,
): Promise<JudgedRows> {
  const run = await output.runs.read(id);
  const notes = await output.runs.notes(id);
  const rules = rulesOf(run);
  const spooled = await spooledCalls(output.storage);
  return async function* (wanted = () => true, last = Infinity) {
    for await (const planned of rowsOf(output.runs.plan(id))) {
      if (planned.place.row > last) return;
      if (!wanted(planned.place.row)) continue;
      const row = planned.read();
      // Of a row without a name nobody made a picture; versions before wrote no `repeats`.
      const isOther = row.repeats === true || (row.invalid === undefined && row.output === '');
      const note = isOther ? undefined : await notes(row.row);
      const paidBy = note?.paid_by;
      const payer = paidBy && (await stories.peek(paidBy.id)).find(({ n }) => n === paidBy.n);
      // Calls of a row that is left out are booked apart: another row may have the same id.
      const story = row.invalid === undefined ? stories.of : stories.peek;
      const calls = isOther ? [] : await story(row.id);
      const homeless = calls.some((call) => spooled.has(callId(call)));
      const judged = outcomeOf({ row, calls, note, payer, homeless, rules, origin: run.origin, stop });
      const sides = (): Sides => ({
        before: beforeOf(row, calls, note, payer),
        after: afterOf(output.storage, judged),
      });
      yield { row: judged, calls, isNoted: note !== undefined, spooled, sides };
    }
  };
}

async function* picturesOf(rows: AsyncIterable<JudgedRow>): AsyncIterable<Original> {
  for await (const { sides } of rows) {
    const { before, after } = sides();
    if (before) yield before;
    if (after) yield after;
  }
}

async function* rowsOf(plan: AsyncIterable<PlannedRow[]>): AsyncIterable<PlannedRow> {
  for await (const rows of plan) yield* rows;
}

async function* reportRows(
  rows: AsyncIterable<JudgedRow>,
  look: (judged: JudgedRow) => void,
): AsyncIterable<ReportRow> {
  for await (const judged of rows) {
    look(judged);
    yield judged.row;
  }
}

async function* withThumbs(
  rows: AsyncIterable<JudgedRow>,
  made: ReadonlySet<string>,
): AsyncIterable<ReportRow> {
  for await (const { row, sides } of rows) yield { ...row, thumbs: thumbsOf(sides(), made) };
}

/** Calls of rows that are in the plan no more. */
async function* bookedCalls(stories: Stories): AsyncIterable<BookedCall> {
  for await (const { id, calls } of stories.unasked()) {
    for (const call of calls) if (!isCopy(call)) yield { id, ...toReportCall(call) };
  }
}

/** What the ends of other runs say; they were written by `writeReport`. */
async function otherRuns(output: Output, id: string): Promise<Summary[]> {
  const summaries: Summary[] = [];
  for (const run of await output.runs.list()) {
    // One after another: an end may hold thousands of names, and there is one for every night.
    const end = run === id ? undefined : await output.runs.end(run);
    if (end) summaries.push(end.summary as unknown as Summary);
  }
  return summaries;
}
