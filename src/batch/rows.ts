import type { Row, RowStatus } from '../model.ts';
import type { ReportRow } from '../report/rows.ts';
import type { Desk } from '../queue/desk.ts';
import { judgedRows } from './finish.ts';
import type { Output } from './output.ts';

/** A row of a run that may still be on. */
export interface StandingRow {
  row: Row;
  is: RowStatus | 'waiting' | 'in_flight';
  report: ReportRow;
}

/** All rows of a run as they stand, in the manifest's order. */
export async function* standingRows(output: Output, run: string, desk: Desk): AsyncIterable<StandingRow> {
  const end = await output.runs.end(run);
  const isSettled = end ? () => true : await desk.settled(run);
  const rows = await judgedRows(output, run, end?.stop, await output.calls.stories());
  for await (const { row: report } of rows()) {
    yield { row: report.row, is: isSettled(report.row.row) ? report.status : unsettled(report), report };
  }
}

function unsettled({ calls }: ReportRow): StandingRow['is'] {
  const last = calls.at(-1);
  return last && last.ms === undefined ? 'in_flight' : 'waiting';
}
