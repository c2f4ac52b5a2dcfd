import { printable } from '../cells.ts';
import { UsageError } from '../errors.ts';
import { isSame, livesHere } from '../owner.ts';
import type { Desk } from '../queue/desk.ts';
import type { Call } from '../records/call.ts';
import type { Run } from '../records/runs.ts';
import type { Output } from './output.ts';

/** After its time-out a call's answer may yet have to be decoded and written down. */
const marginMs = 60_000;

/** How long after its start nobody can have an open call in flight, whoever lives. */
export const overMs = ({ timeout_ms: timeoutMs }: Pick<Run, 'timeout_ms'>): number => timeoutMs + marginMs;

/** The same as a moment, epoch milliseconds. */
export const overAt = (call: Call, run: Pick<Run, 'timeout_ms'>): number =>
  Date.parse(call.started_at) + overMs(run);

/**
 * A run that was cut off may be on at another machine, which has a Redis of its own: then its calls would be paid twice,
 * and its cap and the limit kept by each alone.
 * @throws UsageError when a process that this Redis never heard of may have a call of the run in flight
 */
export async function expectNotElsewhere(
  { calls }: Output,
  run: Run,
  desk: Pick<Desk, 'known'>,
): Promise<void> {
  const known = await desk.known();
  const isStrange = ({ owner }: Call): boolean =>
    livesHere(owner) === undefined && !known.some((other) => isSame(other, owner));
  let last: Call | undefined;
  for await (const call of calls.since(Date.now() - overMs(run))) {
    if (call.run !== run.run || call.closed || !isStrange(call)) continue;
    if (!last || call.started_at > last.started_at) last = call;
  }
  if (!last) return;
  const { owner, id, started_at: sent } = last;
  // Behind the machine's name stands what its process numbers belong to.
  const machine = printable(owner.host.split(' ')[0] ?? '');
  throw new UsageError(
    `run ${run.run} may be on elsewhere: ${machine} sent a call for row "${printable(id)}" at ${sent}, and this Redis ` +
      'has never heard of that process. Beside it this one would pay the same rows again. Give all machines the same ' +
      `REDIS_URL; or, if that process is dead, start this again after ${new Date(overAt(last, run)).toISOString()}`,
  );
}
