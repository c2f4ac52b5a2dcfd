import { printable } from '../cells.ts';
import { exitCodes, type ExitCode } from '../errors.ts';
import type { Summary } from './summary.ts';

const endings: Partial<Record<ExitCode, string>> = {
  [exitCodes.account]: 'Stopped: no account may work. Check key and credits (`reshoot doctor`).',
  [exitCodes.budget]: 'Stopped: the credit cap or the retry budget is used up. Raise it, then go on.',
  [exitCodes.halted]: 'Stopped by a stop rule. Look at the errors before you go on.',
  [exitCodes.cancelled]: 'The run was cancelled.',
  [exitCodes.sigint]: 'Stopped by a signal; the calls in flight were finished and kept.',
  [exitCodes.sigterm]: 'Stopped by a signal; the calls in flight were finished and kept.',
};

/** The summary for people: a few lines, of which the last say what to do next. `output` is OUT as the user named it. */
export function summaryText(summary: Summary, output: string): string {
  const { credits, latency_ms: latency } = summary;
  const sum = Object.values(summary.rows).reduce((total, count) => total + count, 0);
  const unknown = credits.unknown > 0 ? `, ${credits.unknown} more perhaps` : '';
  const lines = [
    `Run ${summary.run}: ${plural(sum, 'row')}: ${listOf(summary.rows) || 'nothing to do'}`,
    `${plural(summary.calls, 'call')}, ${plural(credits.charged, 'credit')} charged${unknown}`,
    ...(latency.p50 === null ? [] : [latencyLine(summary)]),
    ...(Object.keys(summary.by_error).length > 0 ? [`Errors: ${listOf(summary.by_error)}`] : []),
    `Report: ${shown(joined(output, 'report'))}`,
    ...nextSteps(summary, output),
  ];
  return `${lines.join('\n')}\n`;
}

function latencyLine({ latency_ms: { p50, p95, max } }: Summary): string {
  return `A call took ${seconds(p50)} s (median), ${seconds(p95)} s (95 %), ${seconds(max)} s (longest)`;
}

function nextSteps(summary: Summary, output: string): string[] {
  const { rows } = summary;
  const ending = endings[summary.exit_code];
  const open = rows.cancelled + rows.not_attempted > 0 || summary.exit_code === exitCodes.failedRetryable;
  const failedCsv = joined(output, 'report/failed.csv');
  const failed = command(failedCsv, output);
  // What came by standard input is gone; failed.csv holds every row that is not done.
  const manifest = summary.manifest === '-' ? failedCsv : summary.manifest;
  const again = command(manifest, output, rows.invalid > 0 ? ' --skip-invalid' : '');
  return [
    ...(ending ? [ending] : []),
    ...(open ? [`To go on: ${again}`] : []),
    ...(rows.held > 0 ? [`To pay for the held rows perhaps twice: ${again} --on-unknown retry`] : []),
    ...(rows.failed + rows.invalid > 0 ? [`To do what failed: mend its rows, then ${failed}`] : []),
  ];
}

function command(manifest: string, output: string, options = ''): string {
  return `reshoot run ${shown(manifest)} -o ${shown(output)}${options}`;
}

/** A path as a shell takes it, safe for a terminal. */
function shown(path: string): string {
  const text = printable(path, Infinity);
  return /^[\p{L}\p{N}_./:@%+=-]+$/u.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

const joined = (folder: string, name: string): string => `${folder.replace(/\/+$/, '')}/${name}`;
const seconds = (ms: number | null): string => ((ms ?? 0) / 1000).toFixed(1);
const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

function listOf(counts: Record<string, number>): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}
