/** The throttle's arithmetic: plain numbers in, plain numbers out. Times are milliseconds. */

/** What the windows at the server and in our log may differ by: the jitter of delivery. */
export const guardMs = (windowMs: number): number => windowMs / 120;

/** However often we are refused, the guard grows no further. */
export const widestGuardMs = (windowMs: number): number => windowMs / 20;

/** A slot older than this when the request is about to leave is given back. */
export const slotLifeMs = (windowMs: number): number => windowMs / 12;

/** A whole request but its last byte is held back no longer than this: connections that stay silent are cut. */
export const longestHoldMs = (windowMs: number): number => Math.min(windowMs / 2, 30_000);

/** How long an account pauses after a refusal: as long as the server says, within reason, else a sixth of a window. */
export function pauseMs(windowMs: number, retryAfterMs: number | undefined): number {
  return Math.min(retryAfterMs ?? windowMs / 6, 15 * windowMs);
}

/** An account that only refuses for this long is parked. */
export const refusingForMs = (windowMs: number): number => 15 * windowMs;

/** A parked account is tried again with one call this long after the last try. */
export const probeAfterMs = (windowMs: number): number => 10 * windowMs;

/** What `concurrency` goes by. */
export interface Load {
  /** Calls an account in a window. */
  limit: number;
  windowMs: number;
  accounts: number;
  /** Live worker processes that share the accounts, this one counted. */
  processes: number;
  /** Mean time of the latest calls; undefined before the first answer. */
  latencyMs: number | undefined;
  /** Memory this process may use for calls in flight. */
  memoryBytes: number;
}

/** A call in flight holds about this much: socket buffers, scanner, hash. */
const bytesPerCall = 4 * 2 ** 20;

/**
 * Calls in flight that use the limit: rate × latency × 1.3, never below one window's limit, since slots come back in
 * bursts. Before the first answer: three windows' worth, enough for the slowest call the API is known for.
 */
export function concurrency(load: Load): number {
  const ceiling = 3 * load.limit;
  const needed = load.latencyMs === undefined ? ceiling : (load.limit / load.windowMs) * load.latencyMs * 1.3;
  const inAll = Math.min(ceiling, Math.max(load.limit, needed)) * load.accounts;
  const share = Math.ceil(inAll / load.processes);
  return Math.max(2, Math.min(share, Math.floor(load.memoryBytes / bytesPerCall)));
}
