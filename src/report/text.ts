import { printable } from '../cells.ts';
import { exitCodes, type ExitCode } from '../errors.ts';
import type { Summary } from './summary.ts';

const endings: Partial<Record<ExitCode, string>> = {
  [exitCodes.account]: 'Stopped: no account may work. Check the key and the credits.',
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

function listOf(counts: Record<string, number>): string {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name}`)
    .join(', ');
}
