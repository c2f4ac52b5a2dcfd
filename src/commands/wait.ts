import { awaitRun } from '../batch/watch.ts';
import type { Config } from '../config.ts';
import type { ExitCode } from '../errors.ts';
import type { Summary } from '../report/summary.ts';
import { summaryText } from '../report/text.ts';
import { outputFolder } from '../storage/open.ts';
import type { Io } from './io.ts';
import { showProgress } from './display.ts';
import { goesOn, nobodyWorks } from './steer.ts';
import { signalCode } from './stopping.ts';
import { findRun, isPast, withDesks } from './with-desks.ts';

export interface WaitFlags {
  json?: boolean;
  quiet?: boolean;
}

/** Waits for a run's end and ends with its exit code. */
export function wait(id: string, flags: WaitFlags, config: Config, io: Io): Promise<ExitCode> {
  const { stop } = io;
  return withDesks(config, async (desks) => {
    const run = await findRun(desks, id);
    const on = !isPast(run);
    if (on && (await desks.desk.living()).length === 0) io.err(nobodyWorks);
    const progress = showProgress(io, { quiet: flags.quiet === true || !on, dumb: config.dumbTerminal });
    const watching = { config, stop, onLook: progress.update };
    const summary = on ? await awaitRun(desks, run, watching).finally(progress.close) : run.summary;
    if (!summary) {
      io.err(goesOn(id));
      return signalCode(stop);
    }
    const told = summary as unknown as Summary;
    io.out(flags.json ? `${JSON.stringify(told, null, 2)}\n` : summaryText(told, outputFolder(run.output)));
    return told.exit_code;
  });
}
