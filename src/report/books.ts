import { rowStatuses } from '../model.ts';
import { createScratch } from '../scratch.ts';
import type { ReportCall, Value } from './rows.ts';
import type { Summary } from './summary.ts';
import { csvHead, csvLine } from './table.ts';

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
  yield csvHead(callFields);
  const lines = createSorted();
  try {
    for await (const call of calls) lines.add(Date.parse(call.at), csvLine(callCells(call)));
    yield* lines.inOrder();
  } finally {
    lines.close();
  }
}

/** Puts lines in the order of a number; only the numbers and the lines' places are held in memory. */
function createSorted() {
  const text = createScratch();
  const orders: number[] = [];
  const starts: number[] = [];
  return {
    add(order: number, line: string): void {
      orders.push(order);
      starts.push(text.append(line));
    },
    *inOrder(): Generator<string> {
      const places = Uint32Array.from(orders.keys());
      places.sort((a, b) => (orders[a] ?? 0) - (orders[b] ?? 0));
      for (const place of places) {
        const from = starts[place] ?? 0;
        yield text.read(from, (starts[place + 1] ?? text.bytes) - from).toString('utf8');
      }
    },
    close: () => text.close(),
  };
}

/** `runs.csv`: a line a run, by its start. */
export function runsCsv(runs: readonly Summary[]): string {
  const inOrder = runs.toSorted((a, b) => (a.started_at < b.started_at ? -1 : 1));
  return [csvHead(runFields), ...inOrder.map((run) => csvLine(runCells(run)))].join('');
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
