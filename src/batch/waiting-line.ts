import type { Source } from '../model.ts';
import type { JobResult } from '../queue/worker.ts';

/** The row that is waited for is looked at again this much later. */
const againMs = 1000;
/** More of them would keep rows from being fed that could be sent. */
const mostWaiting = 5;
/** Its job was taken back, or another process has it. */
const forgottenMs = 30_000;

/** Rows of this process that wait for another row's end, since it asks for the same, with what was read of them. */
export interface WaitingLine {
  /**
   * Sends the row to wait: a few look again soon; the others wait without a job, until the feeder goes round once more.
   * @param row names it over all runs
   */
  wait(row: string, sources: Source[]): JobResult;
  /** What was read of the row when it was sent to wait, if it was. */
  leave(row: string): { sources: Source[] }[];
}

export function createWaitingLine(now: () => number = () => performance.now()): WaitingLine {
  const waiting = new Map<string, { sources: Source[]; at: number }>();
  return {
    wait(row, sources) {
      const at = now();
      for (const [other, since] of waiting) if (at - since.at > forgottenMs) waiting.delete(other);
      if (waiting.size >= mostWaiting) return { is: 'done' };
      waiting.set(row, { sources, at });
      return { is: 'handed back', afterMs: againMs };
    },
    leave(row) {
      const left = waiting.get(row);
      waiting.delete(row);
      return left ? [left] : [];
    },
  };
}
