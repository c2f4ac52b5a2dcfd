import type { Desks } from '../batch/desks.ts';
import { lookAt } from '../batch/look.ts';
import type { Output } from '../batch/output.ts';
import { findRunOutput } from '../batch/outputs.ts';
import { standingRows, type StandingRow } from '../batch/rows.ts';
import { printable } from '../cells.ts';
import type { Config } from '../config.ts';
import { exitCodes, SurroundingsError, UsageError, type ExitCode } from '../errors.ts';
import { rowStatuses } from '../model.ts';
import type { DeskRun, PastRun } from '../queue/desk.ts';
import type { Summary } from '../report/summary.ts';
import { summaryText } from '../report/text.ts';
import { outputFolder } from '../storage/open.ts';
import type { Io } from './io.ts';
import { renderView, type Screen } from './display/frame.ts';
import { rowDocument, runDocument } from './status-json.ts';
import { rowLine, rowStory, runsTable, type RunLine } from './status-text.ts';
import { findRun, isPast, withDesks } from './with-desks.ts';

export interface StatusFlags {
  /** Only rows of this state, or those with a call of unknown charge. */
  rows?: string;
  json?: boolean;
}

const states = ['waiting', 'in_flight', ...rowStatuses] satisfies StandingRow['is'][];
/** Of whatever state: some call of theirs may have been paid, and nobody knows. */
const doubtful = 'unknown';

/** Says how all runs stand, or a run, its rows, or one row's whole story. Changes nothing. */
export function status(
  run: string | undefined,
  row: string | undefined,
  flags: StatusFlags,
  config: Config,
  io: Io,
): Promise<ExitCode> {
  if (flags.rows !== undefined && !['all', doubtful, ...states].includes(flags.rows))
    throw new UsageError(`--rows ${flags.rows}: write all, ${doubtful}, ${states.join(', ')}`);
  const json = (value: unknown): void => io.out(`${JSON.stringify(value, null, 2)}\n`);
  const ok = exitCodes.ok;
  if (run === undefined) {
    return withDesks(config, async (desks) => {
      const lines = await allRuns(desks, config);
      if (flags.json) json(lines.map(runDocument));
      else io.out(lines.length > 0 ? runsTable(lines) : 'No run is known to this Redis.\n');
      return ok;
    });
  }
  if (row === undefined && flags.rows === undefined) {
    return withDesks(config, async (desks) => {
      const line = await lineOf(await findRun(desks, run), desks, config);
      if (flags.json) json(runDocument(line));
      else io.out('past' in line ? pastText(line.past) : `${renderView(line.view, screenOf(io))}\n`);
      return ok;
    });
  }
  return withDesks(config, async (desks) => {
    const known = await findRun(desks, run);
    const rows = standingRows(await outputOf(known), run, desks.desk);
    if (row === undefined) {
      const chosen = withStatus(rows, flags.rows ?? 'all');
      if (flags.json) await writeArray(chosen, io);
      else for await (const standing of chosen) io.out(rowLine(standing));
      return ok;
    }
    for await (const standing of rows) {
      if (standing.row.id !== row) continue;
      if (flags.json) json(rowDocument(standing));
      else io.out(rowStory(standing, known));
      return ok;
    }
    throw new UsageError(
      `run ${run} has no row "${printable(row, 80)}"; all: reshoot status ${run} --rows all`,
    );
  });
}

/** What is printed may be piped, so it has no colours. */
function screenOf(io: Io): Screen {
  const columns = io.terminal?.stream.columns ?? 100;
  return { columns, rows: Infinity, color: false, now: new Date(), awake: true };
}

/** Every run that is on, and those that ended, the latest last. */
async function allRuns(desks: Desks, config: Config): Promise<RunLine[]> {
  const runs = [...(await desks.desk.past()), ...(await desks.desk.runs())];
  return Promise.all(runs.map((run) => lineOf(run, desks, config)));
}

async function lineOf(run: DeskRun | PastRun, desks: Desks, config: Config): Promise<RunLine> {
  return isPast(run) ? { past: run } : { view: await lookAt(desks, config, run) };
}

const pastText = ({ summary, output }: PastRun): string =>
  summaryText(summary as unknown as Summary, outputFolder(output));

async function* withStatus(rows: AsyncIterable<StandingRow>, is: string): AsyncIterable<StandingRow> {
  const isMeant =
    is === doubtful ? isDoubtful : (standing: StandingRow) => is === 'all' || standing.is === is;
  for await (const standing of rows) if (isMeant(standing)) yield standing;
}

/** A call that is out isn't in doubt yet. */
function isDoubtful({ is, report: { calls, doubled } }: StandingRow): boolean {
  const ended = is === 'in_flight' ? calls.slice(0, -1) : calls;
  return doubled === true || ended.some(({ charged }) => charged === 'unknown');
}

/** One JSON array, a row a line, without ever holding all of it. */
async function writeArray(rows: AsyncIterable<StandingRow>, io: Io): Promise<void> {
  let before = '[\n';
  for await (const standing of rows) {
    io.out(`${before}${JSON.stringify(rowDocument(standing))}`);
    before = ',\n';
  }
  io.out(before === '[\n' ? '[]\n' : '\n]\n');
}

async function outputOf(run: DeskRun | PastRun): Promise<Output> {
  const output = await findRunOutput(run);
  if (output) return output;
  throw new SurroundingsError(
    `the output of run ${run.run}, ${outputFolder(run.output)}, is not seen on this machine: ask where it is`,
  );
}
