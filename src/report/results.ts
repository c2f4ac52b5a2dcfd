import { ownCells, type ReportCall, type ResultRow, resultFields, type Value } from './rows.ts';
import { csvHead, csvLine, type Table } from './table.ts';

/** `results.jsonl`: a line a row, with the user's columns and every call. */
export function resultsJsonl(): Table<ResultRow> {
  return { head: '', line: (row) => `${JSON.stringify(jsonOf(row))}\n` };
}

/** `results.csv`: the same without the calls. `columns` are the user's, in the manifest's order. */
export function resultsCsv(columns: string[]): Table<ResultRow> {
  return {
    head: csvHead([...resultFields, ...columns]),
    line: ({ of, result }) =>
      csvLine([...resultFields.map((field) => result[field]), ...ownCells(of.row, columns)]),
  };
}

function jsonOf({ of, result }: ResultRow): Record<string, unknown> {
  return { ...result, ...of.row.columns, calls: of.calls.map(callOf) };
}

function callOf(call: ReportCall): Record<string, Value | string[]> {
  return {
    n: call.n,
    route: call.route,
    account: call.account,
    started_at: call.at,
    ms: call.ms ?? null,
    http_status: call.httpStatus ?? null,
    outcome: call.outcome,
    charged: call.charged,
    error_code: call.errorCode ?? null,
    ...(call.changes && { changes: call.changes }),
  };
}
