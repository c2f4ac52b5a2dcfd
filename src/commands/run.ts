import { planRun, type Planned } from '../batch/plan.ts';
import { watchRun } from '../batch/watch.ts';
import { openWorkshop, type Tuning, type Workshop } from '../batch/work.ts';
import type { Config } from '../config.ts';
import { exitCodes, SurroundingsError, type ExitCode } from '../errors.ts';
import { createLog } from '../log.ts';
import { withDeadline } from '../queue/connect.ts';
import type { DeskRun } from '../queue/desk.ts';
import type { End } from '../records/runs.ts';
import { shown, summaryText } from '../report/text.ts';
import type { Summary } from '../report/summary.ts';
import { keepAwake } from './awake.ts';
import { check } from './check.ts';
import type { Io } from './io.ts';
import { readConcurrency, type LimitFlags, type PlanFlags } from './plan-options.ts';
import { prepare, type Prepared } from './prepare.ts';
import { showProgress } from './display.ts';
import { goesOn } from './steer.ts';
import { announceStop, signalCode } from './stopping.ts';

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
  return prepared ? workOn(prepared, flags, config, io, tuning) : exitCodes.usage;
}

/** Plans what was prepared, works on it here until it is done, and reports. */
export async function workOn(
  prepared: Pick<Prepared, 'options' | 'checked' | 'openOutput'>,
  flags: LimitFlags & Pick<PlanFlags, 'output'>,
  config: Config,
  io: Io,
  tuning: Tuning,
): Promise<ExitCode> {
  const { options, checked } = prepared;
  announceStop(io);
  const level = config.logLevel ?? (flags.verbose ? 'info' : 'error');
  const keys = config.accounts.map(({ key }) => key);
  const log = createLog(level, keys, { write: (line) => io.err(line) });
  const workshop = await openWorkshop(config, readConcurrency(flags.concurrency), log, tuning);
  const awake = await keepAwake(config.searchPath);
  const shown = { quiet: flags.quiet === true, dumb: config.dumbTerminal, awake: awake.how !== undefined };
  const progress = showProgress(io, shown);
  let patienceMs = options.timeoutMs + 10_000;
  try {
    const output = await prepared.openOutput();
    const order = { ...options, submitted: false, stop: io.stop };
    const planned = await planRun(checked, output, order, workshop);
    checked.draft.close();
    if (!planned) return signalCode(io.stop);
    const others = await othersOn(workshop, planned);
    if (!flags.quiet) io.err(warnings(workshop.worries) + beginning(planned, others));
    await workshop.accounts.probe();
    workshop.start({ run: planned.run, output });
    const { update: onLook } = progress;
    const end = await watchRun({ workshop, output, planned, config, stop: io.stop, onLook });
    progress.close();
    if (end) return conclude(end, flags, io);
    const living = await withDeadline(workshop.desk.living(), 2000).catch(() => []);
    io.err(living.length < 2 ? nobodyLeft(planned) : goesOn(planned.run));
    return signalCode(io.stop);
  } catch (error) {
    if (!(error instanceof SurroundingsError)) throw error;
    patienceMs = 10_000;
    progress.close();
    io.err(brokenOff(error.message, flags.output ?? ''));
    return exitCodes.fault;
  } finally {
    progress.close();
    await workshop.close(patienceMs);
    awake.release();
  }
}

/** What is worrying about Redis. */
export const warnings = (worries: string[]): string =>
  worries.map((worry) => `Warning: Redis: ${worry}\n`).join('');

const starts = {
  new: 'started',
  resumed: 'was cut off and goes on; its cap and retry budget count what it has used',
  joined: 'is already on; working with it',
} satisfies Record<Planned['how'], string>;

/** What is said of a run before its first call. */
export function beginning({ run, how, was, replaced }: Planned, others: DeskRun[] = []): string {
  const before = replaced && replaced.charged + replaced.unknown;
  const lines = [
    ...(replaced
      ? [
          `Run ${replaced.run}: was cut off, and this plan takes its place; ${before} of its calls may have been paid (calls.csv)`,
        ]
      : []),
    `Run ${run}: ${starts[how]}${was === 'running' ? '' : `; it was ${was}`}`,
    ...others.map(
      (other) =>
        `Run ${other.run} is on as well and is worked on here too; to end it: reshoot cancel ${other.run}`,
    ),
  ];
  return `${lines.join('\n')}\n`;
}

async function othersOn({ desk }: Workshop, { run }: Planned): Promise<DeskRun[]> {
  return (await desk.runs()).filter((other) => other.run !== run);
}

const brokenOff = (message: string, output: string): string =>
  `reshoot: ${message}\nNo report was made. What was paid so far: reshoot report ${shown(output)}. ` +
  'To go on: run the same command again.\n';

const nobodyLeft = ({ run }: Planned): string =>
  `Nobody works on run ${run} now; it goes on with the next worker or run. To end it: reshoot cancel ${run}\n`;

function conclude(end: End, flags: Pick<PlanFlags, 'json' | 'output'>, io: Io): ExitCode {
  const summary = end.summary as unknown as Summary;
  if (end.stop && flags.json) io.err(`Stopped early: ${end.stop.reason}\n`);
  if (flags.json) io.out(`${JSON.stringify(summary, null, 2)}\n`);
  else io.out(summaryText(summary, flags.output ?? ''));
  return summary.exit_code;
}
