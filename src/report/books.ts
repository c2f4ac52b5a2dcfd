import { Column } from '../column.ts';
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
  const times = new Column(Float64Array);
  const starts = new Column(Float64Array);
  return {
    add(call: BookedCall): void {
      times.push(Date.parse(call.at));
      starts.push(text.append(csvLine(callCells(call))));
    },
    *lines(): Generator<string> {
      yield csvHead(callFields);
      const { length } = times;
      for (const place of byTime(times)) {
        const from = starts.at(place);
        const end = place + 1 < length ? starts.at(place + 1) : text.bytes;
        yield text.read(from, end - from).toString('utf8');
      }
    },
    close: () => text.close(),
  };
}

/** The places of times, the earliest first; equal ones stay in order. Typed arrays' own sort makes lists of objects of them. */
function byTime(times: Column): Uint32Array {
  const { length } = times;
  let places = Uint32Array.from({ length }, (_, place) => place);
  let merged = new Uint32Array(length);
  for (let width = 1; width < length; width *= 2) {
    for (let low = 0; low < length; low += 2 * width) {
      const middle = Math.min(low + width, length);
      const high = Math.min(middle + width, length);
      let [left, right] = [low, middle];
      for (let at = low; at < high; at++) {
        const isLeft =
          right === high || (left < middle && !(times.at(places[right] ?? 0) < times.at(places[left] ?? 0)));
        merged[at] = places[isLeft ? left++ : right++] ?? 0;
      }
    }
    [places, merged] = [merged, places];
  }
  return places;
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
