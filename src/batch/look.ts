import type { Config } from '../config.ts';
import { codes } from '../errors.ts';
import { withDeadline } from '../queue/connect.ts';
import type { DeskRun } from '../queue/desk.ts';
import type { Progress, Pulse } from '../queue/progress.ts';
import type { Gauge } from '../throttle/accounts.ts';
import { forecast } from '../throttle/forecast.ts';
import type { RunState, Spent } from '../throttle/ledger.ts';
import { guardMs } from '../throttle/policy.ts';
import type { Desks } from './desks.ts';
import type { AccountView, RunView } from './view.ts';

/** A look that takes longer than this isn't worth waiting for. */
const patienceMs = 4000;

/** All that a view is made from. */
interface Facts {
  progress: Progress;
  pulse: Pulse;
  spent: Spent;
  state: RunState | undefined;
  gauges: Gauge[];
  workers: number;
}

/**
 * Looks at a run that is on; changes nothing.
 * @param capacity calls in flight at most, in all processes, where that is known
 * @throws Error when Redis does not answer soon
 */
export async function lookAt(
  { desk, ledger, accounts }: Desks,
  { rateWindowMs: windowMs }: Pick<Config, 'rateWindowMs'>,
  run: DeskRun,
  capacity?: number,
): Promise<RunView> {
  const looked = Promise.all([
    desk.progress(run.run),
    desk.pulse(run.run),
    ledger.spent(run.run),
    ledger.state(run.run),
    accounts.gauges(),
    desk.living(),
  ]);
  const [progress, pulse, spent, known, gauges, living] = await withDeadline(looked, patienceMs);
  const facts: Facts = { progress, pulse, spent, state: known?.state, gauges, workers: living.length };
  return viewOf(run, facts, windowMs, capacity);
}

function viewOf(run: DeskRun, facts: Facts, windowMs: number, capacity: number | undefined): RunView {
  const { progress, pulse, spent, gauges, workers } = facts;
  const { succeeded, skipped, held } = progress;
  const failed = progress.failed + progress['failed before'];
  const known = succeeded + skipped + held + failed + progress['left out'];
  const other = Math.max(0, progress.settled - known);
  const { state = 'running' } = facts;
  return {
    run: run.run,
    manifest: run.manifest,
    output: run.output,
    state: state === 'stopped' ? 'stopping' : state,
    rows: run.chosen,
    leftOut: run.rows - run.chosen,
    settled: { succeeded, skipped, failed, held, other },
    inFlight: spent.open,
    credits: { charged: spent.charged, unknown: spent.unknown, cap: spent.cap },
    accounts: gauges.map((gauge) => accountView(gauge, windowMs)),
    windowMs,
    errors: pulse.errors,
    leftMs: state === 'paused' || workers === 0 ? undefined : leftMs(run, facts, windowMs, capacity),
    workers,
  };
}

function accountView({ name, sent, limit, pausedMs, parked }: Gauge, windowMs: number): AccountView {
  const used = sent.filter((ago) => ago < windowMs).length;
  return { name, used, limit, ...(pausedMs > 0 && { pausedMs }), ...(parked && { parked }) };
}

/** A stopped run only waits for what is out. */
function leftMs(
  run: DeskRun,
  { progress, pulse, spent, gauges, state }: Facts,
  windowMs: number,
  capacity: number | undefined,
): number | undefined {
  const times = (some: Pulse['errors']): number => some.reduce((sum, error) => sum + error.times, 0);
  const failed = times(pulse.errors);
  // By the calls, where they are ahead: a row is settled a moment after its call has ended.
  const succeeded = Math.max(progress.succeeded, pulse.calls - failed);
  const others = progress.settled - progress.succeeded - progress['left out'];
  const waiting = Math.max(0, run.chosen - succeeded - others - spent.open);
  // Refusals and calls that were not sent are accidents, which say nothing of the calls to come.
  const retried = times(pulse.errors.filter(({ code }) => codes[code].disposition === 'retry'));
  const repeated = Math.max(0, retried - progress.failed - progress.held);
  return forecast({
    accounts: gauges.flatMap(({ parked, sent, limit, pausedMs }) =>
      parked === undefined ? [{ sentAgo: sent, limit, pausedMs }] : [],
    ),
    widthMs: windowMs + guardMs(windowMs),
    waiting: state === 'stopped' || state === 'cancelled' ? 0 : waiting,
    inFlight: spent.open,
    latencyMs: pulse.latencyMs,
    again: pulse.calls === 0 ? 0 : repeated / pulse.calls,
    againAfterMs: 1000,
    capacity,
  });
}
