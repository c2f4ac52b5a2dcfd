import { openDesks, type Desks } from '../batch/desks.ts';
import type { Config } from '../config.ts';
import { SurroundingsError, UsageError } from '../errors.ts';
import { createLog } from '../log.ts';
import { LateError, withDeadline } from '../queue/connect.ts';
import type { DeskRun, PastRun } from '../queue/desk.ts';
import { printable } from '../cells.ts';

const goodbyeMs = 2000;

/** Opens Redis for a command that doesn't work on rows itself, and leaves it however the command ends. */
export async function withDesks<T>(config: Config, work: (desks: Desks) => Promise<T>): Promise<T> {
  const log = createLog(config.logLevel ?? 'error');
  const desks = await openDesks(config, log);
  try {
    return await work(desks);
  } finally {
    await withDeadline(desks.leave(), goodbyeMs).catch(() => desks.redis.disconnect());
  }
}

/**
 * The same for a command that must end soon, whatever is gone.
 * @throws SurroundingsError when Redis stops to answer
 */
export function brieflyWithDesks<T>(config: Config, work: (desks: Desks) => Promise<T>): Promise<T> {
  return withDesks(config, (desks) =>
    withDeadline(work(desks), 6000).catch((error: unknown) => {
      if (error instanceof LateError) throw new SurroundingsError('Redis does not answer any more');
      throw error;
    }),
  );
}

/** The run of that id, on or finished. @throws UsageError naming those there are */
export async function findRun({ desk }: Desks, id: string): Promise<DeskRun | PastRun> {
  const all = [...(await desk.past()), ...(await desk.runs())];
  const found = all.findLast(({ run }) => run === id);
  if (found) return found;
  const known = all.slice(-5).map(({ run }) => run);
  const those = known.length > 0 ? `the latest are ${known.join(', ')}` : 'it knows of none';
  throw new UsageError(`this Redis knows of no run ${printable(id, 80)}; ${those}`);
}

export const isPast = (run: DeskRun | PastRun): run is PastRun => 'summary' in run;
