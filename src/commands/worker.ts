import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { openWorkshop, type Tuning, type Workshop } from '../batch/work.ts';
import type { Config } from '../config.ts';
import { exitCodes, SurroundingsError, type ExitCode } from '../errors.ts';
import { createLog, type Log } from '../log.ts';
import type { Io } from './io.ts';
import { announceStop, signalCode } from './stopping.ts';
import { readConcurrency } from './plan-options.ts';

export interface WorkerFlags {
  /** Stop when there is nothing to do. */
  drain?: boolean;
  concurrency: string;
}

/** A call may take its whole time-out before the worker leaves. */
const goodbyeMs = 330_000;

/** Works on whatever run there is until stopped. Waits for Redis as long as it takes. */
export async function worker(
  flags: WorkerFlags,
  config: Config,
  io: Io,
  tuning: Tuning = {},
): Promise<ExitCode> {
  const calls = readConcurrency(flags.concurrency);
  announceStop(io);
  const log = createLog(
    config.logLevel ?? 'info',
    config.accounts.map(({ key }) => key),
  );
  const workshop = await openSooner(() => openWorkshop(config, calls, log, tuning), io.stop, log);
  if (!workshop) return signalCode(io.stop);
  for (const worry of workshop.worries) log.warn({ worry }, 'Redis');
  workshop.start();
  log.info('working');
  try {
    for (let idle = 0; !io.stop.aborted && !(flags.drain && idle > 10);) {
      await sleep(200);
      idle = (await unlessStopped(workshop.hasWork(), io.stop)) === false ? idle + 1 : 0;
    }
  } finally {
    await workshop.close(goodbyeMs);
  }
  const failed = workshop.failed();
  if (failed.length > 0)
    log.error({ runs: failed }, 'these runs were given up: mend their outputs, then start again');
  if (io.stop.aborted) return signalCode(io.stop);
  return failed.length > 0 ? exitCodes.fault : exitCodes.ok;
}

/**
 * Waits no longer than until the stop: whoever is told to doesn't wait for Redis. Asked for days, several times a second,
 * so that nothing of it may stay with the signal.
 */
async function unlessStopped<T>(work: Promise<T>, stop: AbortSignal): Promise<T | undefined> {
  const done = new AbortController();
  const stopped = stop.aborted ? Promise.resolve() : once(stop, 'abort', { signal: done.signal });
  const unless = stopped.then(
    () => undefined,
    () => undefined,
  );
  try {
    return await Promise.race([unless, work]);
  } finally {
    done.abort();
  }
}

/** Tries again every few seconds while Redis doesn't answer. Undefined: stopped before it did. */
async function openSooner(
  open: () => Promise<Workshop>,
  stop: AbortSignal,
  log: Log,
): Promise<Workshop | undefined> {
  while (!stop.aborted) {
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof SurroundingsError)) throw error;
      log.warn({ error: error.message }, 'waiting for Redis');
      await sleep(3000, undefined, { signal: stop }).catch(() => undefined);
    }
  }
  return undefined;
}
