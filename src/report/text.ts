import { printable } from '../cells.ts';
import { codes, exitCodes, type ExitCode } from '../errors.ts';
import { rowStatuses } from '../model.ts';
import { isDone } from './rows.ts';
import { stoppingOf } from './stop.ts';
import { othersLeft, type Summary } from './summary.ts';

/** What ended a run, where its exit code says all there is to say. */
const endings: Partial<Record<ExitCode, string>> = {
  [exitCodes.cancelled]: 'The run was cancelled.',
  [exitCodes.sigint]: 'Stopped by a signal; the calls in flight were finished and kept.',
  [exitCodes.sigterm]: 'Stopped by a signal; the calls in flight were finished and kept.',
};

/** More kinds of errors than this don't help a person who looks at a terminal. */
const mostErrors = 6;

/**
 * The summary for people: fits a screen of 80 × 24, and its last lines are the commands to go on with. `output` is OUT
 * as the user named it.
 */
export function summaryText(summary: Summary, output: string): string {
  const { credits, credits_all_runs: allRuns, perhaps_twice: twice, latency_ms: latency } = summary;
  const sum = Object.values(summary.rows).reduce((total, count) => total + count, 0);
  const lines = [
    `Run ${summary.run}: ${plural(sum, 'row')}: ${listOf(summary.rows) || 'nothing to do'}${took(summary)}`,
    `This run: ${plural(summary.calls, 'call')}, ${plural(credits.charged, 'credit')} charged${perhaps(credits)}`,
    ...(allRuns ? [`All runs: ${allRuns.charged} charged${perhaps(allRuns)}`] : []),
    ...(twice
      ? [
          `Perhaps paid twice: ${plural(twice, 'row')} (credits_unknown above 0 in report/results.csv, ` +
            `or reshoot status ${summary.run} --rows unknown)`,
        ]
      : []),
    ...(latency.p50 === null ? [] : [latencyLine(summary)]),
    ...errorLines(summary),
    `Report: ${shown(joined(output, 'report/index.html'))}`,
    ...nextSteps(summary, output),
  ];
  return `${lines.join('\n')}\n`;
}

const perhaps = ({ unknown }: Summary['credits']): string => (unknown > 0 ? `, ${unknown} more perhaps` : '');

function latencyLine({ latency_ms: { p50, p95, max } }: Summary): string {
  return `A call took ${seconds(p50)} s (median), ${seconds(p95)} s (95 %), ${seconds(max)} s (longest)`;
}

/** How long the run took, by its own clock. */
function took({ started_at: start, finished_at: end }: Summary): string {
  const ms = Date.parse(end) - Date.parse(start);
  return ms >= 0 ? `, in ${durationText(ms)}` : '';
}

/** Rows that did not succeed by their error, the most frequent first, with what the error means. */
function errorLines({ by_error: byError }: Summary): string[] {
  const all = Object.entries(byError).toSorted(([, a], [, b]) => b - a);
  const lines = all.slice(0, mostErrors).map(([code, count]) => {
    const says = code in codes ? `: ${codes[code as keyof typeof codes].says}` : '';
    return `  ${count} ${printable(code)}${says}`;
  });
  const more = all.length - lines.length;
  return all.length === 0
    ? []
    : ['Errors:', ...lines, ...(more > 0 ? [`  and ${more} more in the report`] : [])];
}

/**
 * How the run ended, and the commands to go on with. `failed.csv` holds every row that is not done, also those that were
 * not chosen, and needs none of the options that the manifest was read with.
 */
function nextSteps(summary: Summary, output: string): string[] {
  const { rows, chosen = rows, exit_code: code } = summary;
  const left = othersLeft(summary);
  const stopped = stoppingOf(summary)?.says ?? endings[code];
  const open =
    stopped !== undefined ||
    chosen.cancelled + chosen.not_attempted > 0 ||
    code === exitCodes.failedRetryable;
  const rest = `reshoot run ${shown(joined(output, 'report/failed.csv'))} -o ${shown(output)}`;
  const held = `reshoot retry ${shown(output)} --status held`;
  const others = `the other ${plural(left, 'row')}`;
  const too = left > 0 ? ` (and ${others})` : '';
  const goOn = left > 0 ? `; with ${others}: ` : ', or ';
  return [
    ...(stopped ? [printable(stopped, 1000)] : []),
    ...(left > 0 && code === exitCodes.ok ? [chosenDone(summary)] : []),
    ...(open ? [`To go on: the same command again${goOn}${rest}`] : []),
    ...(left > 0 && !open ? [`To do the rest: ${rest}`] : []),
    ...(rows.held > 0 ? [`To try the held rows again, which may pay for them twice: ${held}`] : []),
    ...(!open && chosen.failed + rows.invalid > 0
      ? [`To do what failed${too}: mend its rows, then ${rest}`]
      : []),
  ];
}

/** All is done that was to be done, which isn't all. */
function chosenDone({ rows, chosen = rows }: Summary): string {
  const done = chosen.succeeded + chosen.skipped;
  const undone = rowStatuses.reduce((sum, status) => sum + (isDone(status) ? 0 : rows[status]), 0);
  const others = undone === 1 ? '1 other of the manifest is' : `${undone} others of the manifest are`;
  return `The ${plural(done, 'row')} chosen for this run ${done === 1 ? 'is' : 'are'} done; ${others} not.`;
}

/** A path as a shell takes it, safe for a terminal. */
export function shown(path: string): string {
  const text = printable(path, Infinity);
  return /^[\p{L}\p{N}_./:@%+=-]+$/u.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

const joined = (folder: string, name: string): string => `${folder.replace(/\/+$/, '')}/${name}`;
const seconds = (ms: number | null): string => ((ms ?? 0) / 1000).toFixed(1);
export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** `45 s`, `12 min`, `1 h 2 min`. */
export function durationText(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds <= 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function listOf(counts: Record<string, number>): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}
