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

/**
 * `calls.csv`: a line a call of all runs, by time; they may come in any order. Only their times and places are held in
 * memory.
 */
export function createCallsCsv() {
  const text = createScratch();
  const times: number[] = [];
  const starts: number[] = [];
  return {
    add(call: BookedCall): void {
      times.push(Date.parse(call.at));
      starts.push(text.append(csvLine(callCells(call))));
    },
    *lines(): Generator<string> {
      yield csvHead(callFields);
      const places = Uint32Array.from(times.keys());
      places.sort((a, b) => (times[a] ?? 0) - (times[b] ?? 0));
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
