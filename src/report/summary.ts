import type { ExitCode } from '../errors.ts';
import { rowStatuses, type Charge, type RowStatus } from '../model.ts';
import { exitCodeOf } from './exit.ts';
import { isDone, type ReportCall, type ReportRow } from './rows.ts';

/** What is known of a run without looking at its rows. */
export interface RunFacts {
  run: string;
  /** As the user named it. */
  manifest: string;
  /** ISO 8601 in UTC. */
  startedAt: string;
  finishedAt: string;
  /** The user's own columns, in the manifest's order. */
  columns: string[];
  /** Why it ended before its rows did. */
  stop?: { code: ExitCode; reason?: string };
}

/** `summary.json`: rows of the whole manifest, calls and credits of this run alone, where nothing else is said. */
export interface Summary {
  run: string;
  manifest: string;
  started_at: string;
  finished_at: string;
  rows: Record<RowStatus, number>;
  /** The same of the rows that this run was to do. Summaries of older versions lack it. */
  chosen?: Record<RowStatus, number>;
  /** HTTP calls that went out, or may have. */
  calls: number;
  /** Calls charged, and calls whose charge nobody knows. */
  credits: { charged: number; unknown: number };
  /** The same of every call into this output. Summaries of older versions lack it. */
  credits_all_runs?: { charged: number; unknown: number };
  /** Rows that may have been paid twice: beside a call whose charge nobody knows there is another that was, or may have been, paid. */
  perhaps_twice?: number;
  by_route: Record<string, { calls: number; succeeded: number }>;
  /** Rows that did not succeed by their error code. */
  by_error: Record<string, number>;
  /** Of the calls that succeeded; null when there are none. */
  latency_ms: { p50: number | null; p95: number | null; max: number | null };
  exit_code: ExitCode;
  /** Why the run ended before its rows did, as its records have it; absent when it did not. */
  stop_reason?: string;
}

/** Rows that `--limit` or `--ids` left out and that have no picture; what the manifest gets wrong aside. */
export function othersLeft({ rows, chosen = rows }: Summary): number {
  const undone = rowStatuses.filter((status) => !isDone(status) && status !== 'invalid');
  return undone.reduce((sum, status) => sum + rows[status] - chosen[status], 0);
}

/** Collects, row by row, what the report says of all of them. */
export interface Tally {
  add(row: ReportRow): void;
  /** A call into this output, of whatever run. */
  book(call: ReportCall): void;
  summary(): Summary;
}

/** An empty tally for the run's report; its size does not grow with the rows but for one number a call. */
export function createTally(facts: RunFacts): Tally {
  const rows = noRows();
  const chosen = noRows();
  const allRuns = { charged: 0, unknown: 0 };
  const byError = new Map<string, number>();
  const calls = createCallTally();
  let retryable = 0;
  let perhapsTwice = 0;
  return {
    add: (row) => {
      rows[row.status] += 1;
      // What `--limit` or `--ids` left out says nothing about how this run ended.
      if (row.row.selected) chosen[row.status] += 1;
      if (row.row.selected && row.status === 'failed' && row.retryable) retryable += 1;
      if (row.errorCode && !isDone(row.status)) {
        byError.set(row.errorCode, (byError.get(row.errorCode) ?? 0) + 1);
      }
      // What is left out as invalid made no call; one of its calls is that of the row whose id it repeats.
      if (row.status === 'invalid') return;
      if (isPerhapsTwice(row)) perhapsTwice += 1;
      for (const call of row.calls) if (call.run === facts.run) calls.add(call);
    },
    book: ({ outcome, charged }) => {
      if (outcome === 'not_sent') return;
      if (charged === 'yes') allRuns.charged += 1;
      if (charged === 'unknown') allRuns.unknown += 1;
    },
    summary: () => ({
      run: facts.run,
      manifest: facts.manifest,
      started_at: facts.startedAt,
      finished_at: facts.finishedAt,
      rows: { ...rows },
      chosen: { ...chosen },
      ...calls.figures(),
      credits_all_runs: { ...allRuns },
      perhaps_twice: perhapsTwice,
      by_error: Object.fromEntries(byError),
      exit_code: exitCodeOf({ rows: chosen, retryable, ...(facts.stop && { stop: facts.stop }) }),
      ...(facts.stop?.reason && { stop_reason: facts.stop.reason }),
    }),
  };
}

function isPerhapsTwice({ calls, doubled }: ReportRow): boolean {
  if (doubled) return true;
  const paid = calls.filter(({ charged }) => charged !== 'no');
  return paid.length > 1 && paid.some(({ charged }) => charged === 'unknown');
}

export function noRows(): Record<RowStatus, number> {
  return { succeeded: 0, skipped: 0, failed: 0, held: 0, cancelled: 0, not_attempted: 0, invalid: 0 };
}

function createCallTally() {
  const charges: Record<Charge, number> = { yes: 0, no: 0, unknown: 0 };
  const routes: Summary['by_route'] = {};
  const lengths: number[] = [];
  let sent = 0;
  return {
    add: (call: ReportCall): void => {
      if (call.outcome === 'not_sent') return;
      sent += 1;
      charges[call.charged] += 1;
      const route = (routes[call.route] ??= { calls: 0, succeeded: 0 });
      route.calls += 1;
      if (call.outcome !== 'succeeded') return;
      route.succeeded += 1;
      if (call.ms !== undefined) lengths.push(call.ms);
    },
    figures: (): Pick<Summary, 'calls' | 'credits' | 'by_route' | 'latency_ms'> => ({
      calls: sent,
      credits: { charged: charges.yes, unknown: charges.unknown },
      by_route: routes,
      latency_ms: latencyOf(lengths),
    }),
  };
}

/** Percentiles by nearest rank: each is a length that a call really had. */
function latencyOf(lengths: number[]): Summary['latency_ms'] {
  const ascending = lengths.toSorted((a, b) => a - b);
  const share = (part: number): number | null => ascending[Math.ceil(part * ascending.length) - 1] ?? null;
  return { p50: share(0.5), p95: share(0.95), max: share(1) };
}
