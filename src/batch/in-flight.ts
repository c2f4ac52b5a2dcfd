import type { Call } from '../records/call.ts';
import type { Run } from '../records/runs.ts';

/** After its time-out a call's answer may yet have to be decoded and written down. */
const marginMs = 60_000;

/** From when on nobody can have an open call in flight, whoever lives; epoch milliseconds. */
export function overAt(call: Call, { timeout_ms: timeoutMs }: Pick<Run, 'timeout_ms'>): number {
  return Date.parse(call.started_at) + timeoutMs + marginMs;
}
