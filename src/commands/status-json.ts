import type { StandingRow } from '../batch/rows.ts';
import type { RunView } from '../batch/view.ts';
import type { PastRun } from '../queue/desk.ts';
import { resultsJsonl } from '../report/results.ts';
import { resultOf } from '../report/rows.ts';
import type { Summary } from '../report/summary.ts';
import { outputFolder } from '../storage/open.ts';
import { outcomesOf, stateOf, type RunLine } from './status-text.ts';

/** A run as `status --json` tells it: one shape, whether it is on or finished. What doesn't apply is null. */
export function runDocument(line: RunLine): object {
  const { run, manifest, output } = 'past' in line ? line.past : line.view;
  const facts = 'past' in line ? pastFacts(line.past) : onFacts(line.view);
  return { run, manifest, output: outputFolder(output), ...facts };
}

function onFacts(view: RunView): object {
  const { rows, leftOut, settled, inFlight, credits, accounts, errors, leftMs, workers } = view;
  const open = Math.max(0, rows - Object.values(settled).reduce((sum, count) => sum + count, 0));
  return {
    state: stateOf(view),
    rows: { total: rows + leftOut, chosen: rows, ...settled, open },
    in_flight: inFlight,
    credits: { charged: credits.charged, unknown: credits.unknown, cap: credits.cap ?? null },
    accounts: accounts.map(({ name, used, limit, pausedMs, parked }) => ({
      name,
      used,
      limit,
      paused_ms: pausedMs ?? null,
      parked: parked ?? null,
    })),
    errors: errors.map(({ code, times, lastId }) => ({ code, times, last_id: lastId })),
    left_ms: leftMs === undefined ? null : Math.round(leftMs),
    workers,
    exit_code: null,
    summary: null,
  };
}

function pastFacts({ rows, chosen, summary }: PastRun): object {
  const known = summary as unknown as Summary;
  const { succeeded, skipped, failed, held, cancelled, not_attempted: notAttempted } = outcomesOf(known);
  const other = cancelled + notAttempted;
  return {
    state: 'finished',
    rows: { total: rows, chosen, succeeded, skipped, failed, held, other, open: 0 },
    in_flight: 0,
    credits: { ...known.credits, cap: null },
    accounts: null,
    errors: null,
    left_ms: null,
    workers: null,
    exit_code: known.exit_code,
    summary,
  };
}

/** A row as a line of results.jsonl has it, with the state in which it is now. */
export function rowDocument({ is, report }: StandingRow): object {
  return {
    ...(JSON.parse(resultsJsonl().line({ of: report, result: resultOf(report) })) as object),
    status: is,
  };
}
