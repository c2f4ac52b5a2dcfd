import type { ErrorCode } from '../errors.ts';

/** A run as it stands at this moment, for people to look at; the same from every machine that shares the Redis. */
export interface RunView {
  run: string;
  /** As the user named it. */
  manifest: string;
  /** As the user named it, or where it lies. */
  output: string;
  state: 'running' | 'paused' | 'stopping' | 'cancelled';
  /** Rows that are to be done. */
  rows: number;
  /** The manifest's other rows: not chosen, or invalid. */
  leftOut: number;
  /** Of `rows` those that are settled, by outcome; `other` are cancelled or not attempted. */
  settled: { succeeded: number; skipped: number; failed: number; held: number; other: number };
  /** Calls of this run that are out. */
  inFlight: number;
  credits: { charged: number; unknown: number; cap: number | undefined };
  /** Each account's use of its limit in the last window. */
  accounts: AccountView[];
  /** Length of the limit's window in milliseconds. */
  windowMs: number;
  /** Failed calls of this run by code, the most frequent first. */
  errors: { code: ErrorCode; times: number; lastId: string }[];
  /** Until the last row is settled, by the forecast; undefined: can't be said yet, or it is paused. */
  leftMs: number | undefined;
  /** Processes that work, on all machines. */
  workers: number;
}

export interface AccountView {
  name: string;
  used: number;
  limit: number;
  /** It waits for this much longer, told to by the API. */
  pausedMs?: number;
  /** Why it may not work. */
  parked?: string;
}
