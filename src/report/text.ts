import { printable } from '../cells.ts';
import { codes, exitCodes, type ExitCode } from '../errors.ts';
import type { Summary } from './summary.ts';

const endings: Partial<Record<ExitCode, string>> = {
  [exitCodes.account]: 'Stopped: no account may work. Check the key and the credits.',
  [exitCodes.budget]: 'Stopped: the credit cap or the retry budget is used up. Raise it, then go on.',
  [exitCodes.halted]: 'Stopped by a stop rule. Look at the errors before you go on.',
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
  const { credits, latency_ms: latency } = summary;
  const sum = Object.values(summary.rows).reduce((total, count) => total + count, 0);
  const unknown = credits.unknown > 0 ? `, ${credits.unknown} more perhaps` : '';
  const lines = [
    `Run ${summary.run}: ${plural(sum, 'row')}: ${listOf(summary.rows) || 'nothing to do'}${took(summary)}`,
    `${plural(summary.calls, 'call')}, ${plural(credits.charged, 'credit')} charged${unknown}`,
    ...(latency.p50 === null ? [] : [latencyLine(summary)]),
    ...errorLines(summary),
    `Report: ${shown(joined(output, 'report/index.html'))}`,
    ...nextSteps(summary, output),
  ];
  return `${lines.join('\n')}\n`;
}

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

/** `failed.csv` holds every row that is not done and needs none of the options that the manifest was read with. */
function nextSteps({ rows, exit_code: code }: Summary, output: string): string[] {
  const ending = endings[code];
  const open =
    ending !== undefined || rows.cancelled + rows.not_attempted > 0 || code === exitCodes.failedRetryable;
  const rest = `reshoot run ${shown(joined(output, 'report/failed.csv'))} -o ${shown(output)}`;
  return [
    ...(ending ? [ending] : []),
    ...(open ? [`To go on: the same command again, or ${rest}`] : []),
    ...(rows.held > 0 ? [`To pay for the held rows perhaps twice: ${rest} --on-unknown retry`] : []),
    ...(!open && rows.failed + rows.invalid > 0 ? [`To do what failed: mend its rows, then ${rest}`] : []),
  ];
}

/** A path as a shell takes it, safe for a terminal. */
function shown(path: string): string {
  const text = printable(path, Infinity);
  return /^[\p{L}\p{N}_./:@%+=-]+$/u.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

const joined = (folder: string, name: string): string => `${folder.replace(/\/+$/, '')}/${name}`;
const seconds = (ms: number | null): string => ((ms ?? 0) / 1000).toFixed(1);
const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

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
