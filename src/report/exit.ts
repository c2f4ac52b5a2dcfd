import { exitCodes, type ExitCode } from '../errors.ts';
import type { RowStatus } from '../model.ts';

/** What the exit code of a run depends on. */
export interface Ending {
  /** How many of the rows the run was to do ended how. */
  rows: Record<RowStatus, number>;
  /** How many of the failed ones the next run would try again. */
  retryable: number;
  /** Why the run ended before its rows did: a signal, the accounts, the cap, a stop rule or `cancel`. */
  stop?: { code: ExitCode };
}

/** The run's exit code: what stopped it, else 12, 5, 6, else 0. Rows that `--skip-invalid` left out don't count. */
export function exitCodeOf({ rows, retryable, stop }: Ending): ExitCode {
  if (stop) return stop.code;
  if (rows.cancelled > 0) return exitCodes.cancelled;
  if (rows.held > 0) return exitCodes.held;
  if (retryable > 0 || rows.not_attempted > 0) return exitCodes.failedRetryable;
  return rows.failed > 0 ? exitCodes.failedForGood : exitCodes.ok;
}
