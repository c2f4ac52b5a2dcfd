import { openOutput } from '../batch/output.ts';
import { planRun, type Planned } from '../batch/plan.ts';
import { watchRun } from '../batch/watch.ts';
import { openWorkshop, type Tuning } from '../batch/work.ts';
import type { Config } from '../config.ts';
import { exitCodes, SurroundingsError, type ExitCode } from '../errors.ts';
import { createLog } from '../log.ts';
import type { End } from '../records/runs.ts';
import { summaryText } from '../report/text.ts';
import type { Summary } from '../report/summary.ts';
import { keepAwake } from './awake.ts';
import { check } from './check.ts';
import type { Io } from './io.ts';
import { readConcurrency, type PlanFlags } from './plan-options.ts';
import { prepare } from './prepare.ts';
import { showProgress } from './display.ts';

/** Check, plan, work here, report. Running it again goes on. */
export async function run(
  file: string,
  flags: PlanFlags,
  config: Config,
  io: Io,
  tuning: Tuning = {},
): Promise<ExitCode> {
  if (flags.dryRun) return check(file, flags, config, io);
  const prepared = await prepare('run', file, flags, config, io);
  if (!prepared) return exitCodes.usage;
  const { options, found, target } = prepared;
  const level = config.logLevel ?? (flags.verbose ? 'info' : 'error');
  const keys = config.accounts.map(({ key }) => key);
  const log = createLog(level, keys, { write: (line) => io.err(line) });
  const workshop = await openWorkshop(config, readConcurrency(flags.concurrency), log, tuning);
  const awake = await keepAwake(config.searchPath);
  const shown = { quiet: flags.quiet === true, dumb: config.dumbTerminal, awake: awake.how !== undefined };
  const progress = showProgress(io, shown);
  let patienceMs = options.timeoutMs + 10_000;
  try {
    const output = await openOutput(target);
    const planned = await planRun(found.manifest, output, { ...options, submitted: false }, workshop);
    if (!flags.quiet) io.err(`Run ${planned.run}: ${starts[planned.how]}\n`);
    await workshop.accounts.probe();
    workshop.start();
    const { update: onLook } = progress;
    const end = await watchRun({ workshop, output, planned, config, stop: io.stop, onLook });
    progress.close();
    return conclude(end, flags, io);
  } catch (error) {
    if (!(error instanceof SurroundingsError)) throw error;
    patienceMs = 10_000;
    progress.close();
    io.err(`${error.message}\nTo go on where this stopped: run the same command again.\n`);
    return exitCodes.fault;
  } finally {
    progress.close();
    await workshop.close(patienceMs);
    awake.release();
  }
}

const starts = {
  new: 'started',
  resumed: 'was cut off and goes on; its cap and retry budget count what it has used',
  joined: 'is already on; working with it',
} satisfies Record<Planned['how'], string>;

function conclude(end: End | undefined, flags: PlanFlags, io: Io): ExitCode {
  if (!end) {
    io.err('Left; the run goes on elsewhere.\n');
    return String(io.stop.reason) === 'SIGINT' ? exitCodes.sigint : exitCodes.sigterm;
  }
  const summary = end.summary as unknown as Summary;
  if (end.stop) io.err(`Stopped early: ${end.stop.reason}\n`);
  if (flags.json) io.out(`${JSON.stringify(summary, null, 2)}\n`);
  else io.out(summaryText(summary, flags.output ?? ''));
  return summary.exit_code;
}
