import { openDesks, type Desks } from '../batch/desks.ts';
import { printable } from '../cells.ts';
import type { Config } from '../config.ts';
import { SurroundingsError, UsageError } from '../errors.ts';
import { createLog } from '../log.ts';
import { withDeadline } from '../queue/connect.ts';
import type { DeskRun, PastRun } from '../queue/desk.ts';

/** Such a command must end soon, whatever is gone. */
const answerMs = 4000;
const goodbyeMs = 2000;

/**
 * Opens Redis for a command that doesn't work on rows itself, and leaves it however the command ends.
 * @throws SurroundingsError when Redis does not answer, or stops to
 */
export async function withDesks<T>(config: Config, work: (desks: Desks) => Promise<T>): Promise<T> {
  const log = createLog(config.logLevel ?? 'error');
  const desks = await openDesks(config, log, answerMs);
  try {
    return await work(desks);
  } catch (error) {
    // ioredis has no class for it.
    if (error instanceof Error && error.message === 'Command timed out')
      throw new SurroundingsError('Redis does not answer any more', { cause: error });
    throw error;
  } finally {
    await withDeadline(desks.leave(), goodbyeMs).catch(() => desks.redis.disconnect());
  }
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
