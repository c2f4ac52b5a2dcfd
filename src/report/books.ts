import { rowStatuses } from '../model.ts';
import type { ReportCall, Value } from './rows.ts';
import type { Summary } from './summary.ts';
import { csvLine, csvTable } from './table.ts';

/** A call with the row it was made for. */
export interface BookedCall extends ReportCall {
  id: string;
}

const callFields = ['time', 'run', 'id', 'n', 'account', 'route', 'http_status', 'outcome', 'charged'];

const runFields = [
  'run',
  'manifest',
  'started_at',
  'finished_at',
  'rows',
  ...rowStatuses,
  'calls',
  'credits_charged',
  'credits_unknown',
  'exit_code',
];

/** `calls.csv`: a line a call of all runs, by time; they may come in any order. */
export async function* callsCsv(calls: AsyncIterable<BookedCall>): AsyncGenerator<string> {
  const lines: string[] = [];
  // Kept as lines, which start with the time and so sort as text: a million calls are no million objects.
  for await (const call of calls) lines.push(csvLine(callCells(call)));
  yield* csvTable(callFields, []);
  yield* lines.sort();
}

/** `runs.csv`: a line a run, by its start. */
export function runsCsv(runs: readonly Summary[]): AsyncGenerator<string> {
  const inOrder = runs.toSorted((a, b) => (a.started_at < b.started_at ? -1 : 1));
  return csvTable(runFields, inOrder.map(runCells));
}

function callCells(call: BookedCall): Value[] {
  const { at, run, id, n, account, route, httpStatus, outcome, charged } = call;
  return [at, run, id, n, account, route, httpStatus ?? null, outcome, charged];
}

function runCells(run: Summary): Value[] {
  const counts = rowStatuses.map((status) => run.rows[status]);
  const rows = counts.reduce((sum, count) => sum + count, 0);
  const times = [run.started_at, run.finished_at];
  const { charged, unknown } = run.credits;
  return [run.run, run.manifest, ...times, rows, ...counts, run.calls, charged, unknown, run.exit_code];
}
