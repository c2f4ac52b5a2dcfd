import type { Source } from '../model.ts';
import type { JobResult } from '../queue/worker.ts';

/** The row that is waited for is looked at again this much later. */
const againMs = 1000;
/** More of them would keep rows from being fed that could be sent. */
const mostWaiting = 5;
/** Its job was taken back, or another process has it. */
const forgottenMs = 30_000;
/** Whoever is waited for may have lost its job, and gets one when the feeder goes round, once nobody has one. */
const longestMs = 30_000;

/** Rows of this process that wait for another row's end, since it asks for the same, with what was read of them. */
export interface WaitingLine {
  /**
   * Sends the row to wait: a few look again soon, for a while; the others wait without a job, until the feeder goes
   * round once more.
   * @param row names it over all runs
   */
  wait(row: string, sources: Source[]): JobResult;
  /** What was read of the row when it was sent to wait, if it was. */
  leave(row: string): { sources: Source[] }[];
}

export function createWaitingLine(now: () => number = () => performance.now()): WaitingLine {
  const waiting = new Map<string, { sources: Source[]; since: number; at: number }>();
  /** Rows that are looked at again. */
  const looking = new Map<string, { since: number; at: number }>();
  return {
    wait(row, sources) {
      const at = now();
      for (const rows of [waiting, looking])
        for (const [other, last] of rows) if (at - last.at > forgottenMs) rows.delete(other);
      const { since } = looking.get(row) ?? { since: at };
      looking.delete(row);
      if (waiting.size >= mostWaiting || at - since > longestMs) return { is: 'done' };
      waiting.set(row, { sources, since, at });
      return { is: 'handed back', afterMs: againMs };
    },
    leave(row) {
      const left = waiting.get(row);
      waiting.delete(row);
      if (left) looking.set(row, left);
      return left ? [left] : [];
    },
  };
}
