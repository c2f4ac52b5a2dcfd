import { checkManifest, type Check } from '../batch/check.ts';
import { findOutput, openOutput } from '../batch/output.ts';
import { planRun, type Planned } from '../batch/plan.ts';
import { watchRun } from '../batch/watch.ts';
import { openWorkshop, type Tuning, type Workshop } from '../batch/work.ts';
import type { Config } from '../config.ts';
import { exitCodes, SurroundingsError, UsageError, type ExitCode } from '../errors.ts';
import { createLog } from '../log.ts';
import type { Progress } from '../queue/desk.ts';
import type { End } from '../records/runs.ts';
import { summaryText } from '../report/text.ts';
import type { Summary } from '../report/summary.ts';
import { check, refuses } from './check.ts';
import { checkDocument, checkText, plural } from './check-text.ts';
import type { Io } from './io.ts';
import { readConcurrency, readPlanOptions, type PlanFlags } from './plan-options.ts';

/** Above this many credits a person is asked first. */
const askAbove = 100;
const talkEveryMs = 30_000;

/** Check, plan, work here, report. Running it again goes on. */
export async function run(
  file: string,
  flags: PlanFlags,
  config: Config,
  io: Io,
  tuning: Tuning = {},
): Promise<ExitCode> {
  if (flags.dryRun) return check(file, flags, config, io);
  if (flags.output === undefined) throw new UsageError('run needs an output: -o FOLDER');
  const options = readPlanOptions(file, flags, config);
  const found = await checkManifest(file, options, flags.output, await findOutput(flags.output));
  if (refuses(found, options.manifest.skipInvalid)) {
    io.err(checkText(file, found));
    io.err('Nothing was sent. Mend the manifest, or leave such rows out with --skip-invalid.\n');
    if (flags.json) io.out(`${JSON.stringify(checkDocument(file, found), null, 2)}\n`);
    return exitCodes.usage;
  }
  if (!flags.quiet) io.err(checkText(file, found));
  if (!(await agreed(found, flags, io))) return exitCodes.usage;
  const level = config.logLevel ?? (flags.verbose ? 'info' : 'error');
  const log = createLog(
    level,
    config.accounts.map(({ key }) => key),
  );
  const workshop = await openWorkshop(config, readConcurrency(flags.concurrency), log, tuning);
  let patienceMs = options.timeoutMs + 10_000;
  try {
    const output = await openOutput(flags.output);
    const planned = await planRun(found.manifest, output, options, workshop);
    if (!flags.quiet) io.err(`Run ${planned.run}: ${starts[planned.how]}\n`);
    await workshop.throttle.probe();
    workshop.start();
    const end = await watchRun({
      workshop,
      output,
      planned,
      stop: io.stop,
      onProgress: talk(planned, flags, io, workshop),
    });
    return conclude(end, flags, io);
  } catch (error) {
    if (!(error instanceof SurroundingsError)) throw error;
    patienceMs = 10_000;
    io.err(`${error.message}\nTo go on where this stopped: run the same command again.\n`);
    return exitCodes.fault;
  } finally {
    await workshop.close(patienceMs);
  }
}

const starts = {
  new: 'started',
  resumed: 'was cut off and goes on; its cap and retry budget count what it has used',
  joined: 'is already on; working with it',
} satisfies Record<Planned['how'], string>;

async function agreed(found: Check, flags: PlanFlags, io: Io): Promise<boolean> {
  if (flags.yes || !io.ask || found.credits.least <= askAbove) return true;
  const { least, most } = found.credits;
  const answer = await io.ask(`This spends ${least} to ${most} credits. Go on? [y/N] `);
  return /^\s*(y|yes|是|好)\s*$/i.test(answer);
}

/** A line every half minute while the run is on. */
function talk({ rows }: Planned, flags: PlanFlags, io: Io, workshop: Workshop): (progress: Progress) => void {
  let last = performance.now();
  return ({ settled, succeeded, failed }) => {
    if (flags.quiet || performance.now() - last < talkEveryMs) return;
    last = performance.now();
    const left = rows - settled;
    io.err(
      `${settled} of ${plural(rows, 'row')}: ${succeeded} succeeded, ${failed} failed; ${left} left, ${workshop.busy()} in hand here\n`,
    );
  };
}

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
