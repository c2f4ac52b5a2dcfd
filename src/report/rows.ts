import type { Charge, Route, Row, RowStatus } from '../model.ts';

/** One HTTP call of a row, as the report tells it. */
export interface ReportCall {
  /** Its number among the row's calls in this output, from 1. */
  n: number;
  run: string;
  /** Its start, ISO 8601 in UTC. */
  at: string;
  /** Its length in milliseconds; unknown where the process died over it. */
  ms?: number;
  route: Route;
  account: string;
  httpStatus?: number;
  outcome: 'succeeded' | 'failed' | 'throttled' | 'not_sent' | 'unknown' | 'open';
  charged: Charge;
  errorCode?: string;
  /** What was done to its pictures before they were sent, in words. */
  changes?: string[];
  /** Did it use up one of `--max-attempts`? */
  attempt: boolean;
}

/** A row as it stands now, with its whole history in this output. */
export interface ReportRow {
  row: Row;
  status: RowStatus;
  /** The picture's path below the output. */
  output?: string;
  errorCode?: string;
  errorMessage?: string;
  /** Of a failed row: would the next run try it again? */
  retryable?: boolean;
  /** Ascending by `n`. */
  calls: ReportCall[];
  /** Of a row with a picture: which of its calls brought it; 0: another row's. */
  broughtBy?: number;
  /** A call of it may have been paid, and another row's for the same too. */
  doubled?: boolean;
  facts?: { mime: string; width: number; height: number; bytes: number; sha256: string };
  /** The keys of its thumbnails, where there are any. */
  thumbs?: { before?: string | undefined; after?: string | undefined } | undefined;
}

/** What a cell or a JSON field may hold; null where there is nothing to say. */
export type Value = string | number | null;

/** The fields of a result, in the order of the files; the user's columns follow them. */
export const resultFields = [
  'id',
  'row',
  'status',
  'output',
  'error_code',
  'error_message',
  'http_status',
  'attempts',
  'route',
  'account',
  'charged',
  'credits',
  'credits_unknown',
  'mime',
  'width',
  'height',
  'bytes',
  'sha256',
  'api_ms',
  'started_at',
  'finished_at',
] as const;

type ResultField = (typeof resultFields)[number];

/** A row's result without the user's columns. */
export type Result = Record<ResultField, Value>;

/** A row with its result: what the lines of the files are made from. */
export interface ResultRow {
  of: ReportRow;
  result: Result;
}

export function resultOf(row: ReportRow): Result {
  const { facts } = row;
  const cost = costOf(row.calls);
  const decision = decisionOf(row);
  // In the order of `resultFields`, which is that of the files.
  return {
    id: row.row.id,
    row: row.row.row,
    status: row.status,
    output: row.output ?? null,
    error_code: row.errorCode ?? null,
    error_message: row.errorMessage ?? row.row.invalid ?? null,
    http_status: decision.http_status,
    attempts: cost.attempts,
    route: decision.route,
    account: decision.account,
    charged: cost.charged,
    credits: cost.credits,
    credits_unknown: cost.credits_unknown,
    mime: facts?.mime ?? null,
    width: facts?.width ?? null,
    height: facts?.height ?? null,
    bytes: facts?.bytes ?? null,
    sha256: facts?.sha256 ?? null,
    api_ms: decision.api_ms,
    started_at: decision.started_at,
    finished_at: decision.finished_at,
  };
}

/** A row's cells in the user's columns; null where it has none, whatever the column is called. */
export function ownCells({ columns }: Row, names: string[]): Value[] {
  return names.map((name) => (Object.hasOwn(columns, name) ? (columns[name] ?? null) : null));
}

/** `attempts`, `charged`, `credits` and `credits_unknown` of a row's whole history. */
function costOf(calls: ReportCall[]) {
  const charges = calls.map((call) => call.charged);
  return {
    attempts: calls.filter((call) => call.attempt).length,
    charged: worstCharge(charges),
    credits: charges.filter((charge) => charge === 'yes').length,
    credits_unknown: charges.filter((charge) => charge === 'unknown').length,
  };
}

/** The charge that matters most: `unknown`, then `yes`, then `no`. */
function worstCharge(charges: Charge[]): Charge {
  if (charges.includes('unknown')) return 'unknown';
  return charges.includes('yes') ? 'yes' : 'no';
}

function decisionOf(row: ReportRow) {
  const call = decidingCall(row);
  const finished = call?.ms === undefined ? null : new Date(Date.parse(call.at) + call.ms).toISOString();
  return {
    http_status: call?.httpStatus ?? null,
    route: call?.route ?? null,
    account: call?.account ?? null,
    api_ms: call?.ms ?? null,
    started_at: call?.at ?? null,
    finished_at: finished,
  };
}

/**
 * The call that made the row what it is: the one that brought its picture, else the last that was neither throttled nor
 * unsent, else the last of all.
 */
function decidingCall({ calls, broughtBy }: ReportRow): ReportCall | undefined {
  if (broughtBy !== undefined) return calls.find(({ n }) => n === broughtBy);
  const idle = new Set<ReportCall['outcome']>(['throttled', 'not_sent']);
  return calls.findLast((call) => !idle.has(call.outcome)) ?? calls.at(-1);
}

/** Has the row its picture? */
export function isDone(status: RowStatus): boolean {
  return status === 'succeeded' || status === 'skipped';
}
