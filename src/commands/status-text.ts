import stringWidth from 'string-width';
import type { StandingRow } from '../batch/rows.ts';
import type { RunView } from '../batch/view.ts';
import { printable } from '../cells.ts';
import { codes } from '../errors.ts';
import type { DeskRun, PastRun } from '../queue/desk.ts';
import type { ReportCall } from '../report/rows.ts';
import type { Summary } from '../report/summary.ts';
import { outputFolder } from '../storage/open.ts';

/** A line of the table of runs. */
export type RunLine = { past: PastRun } | { view: RunView };

/** All runs as a table. */
export function runsTable(runs: RunLine[]): string {
  const header = ['RUN', 'STATE', 'ROWS', 'CREDITS', 'MANIFEST', 'OUTPUT'];
  return table([header, ...runs.map((run) => ('past' in run ? pastCells(run.past) : onCells(run.view)))]);
}

/** How a run that is on stands; one that could go on and that nobody works on waits. */
export function stateOf({ state, workers }: RunView): RunView['state'] | 'waiting' {
  return state === 'running' && workers === 0 ? 'waiting' : state;
}

/** Of the rows that a finished run was to do, how many ended how. */
export const outcomesOf = ({ rows, chosen = rows }: Summary): Summary['rows'] => chosen;

function onCells(view: RunView): string[] {
  const { run, rows, settled, credits, manifest, output } = view;
  const done = Object.values(settled).reduce((sum, count) => sum + count, 0);
  return [run, stateOf(view), `${done} of ${rows}`, paid(credits), manifest, outputFolder(output)];
}

function pastCells({ run, chosen, summary, manifest, output }: PastRun): string[] {
  const known = summary as unknown as Summary;
  const { succeeded, skipped } = outcomesOf(known);
  const done = `${succeeded + skipped} of ${chosen}`;
  return [run, `exit ${known.exit_code}`, done, paid(known.credits), manifest, outputFolder(output)];
}

const paid = ({ charged, unknown }: { charged: number; unknown: number }): string =>
  unknown > 0 ? `${charged} + ${unknown}?` : String(charged);

/** A row in one line. */
export function rowLine({ row, is, report }: StandingRow): string {
  const what = report.errorMessage ?? report.output ?? '';
  return (
    `${String(row.row).padStart(5)}  ${is.padEnd(13)}  ${printable(row.id, 80)}  ${printable(what, 200)}`.trimEnd() +
    '\n'
  );
}

/** A row's whole story: what was asked for, how it stands, and every call. */
export function rowStory({ row, is, report }: StandingRow, run: DeskRun): string {
  const pictures = row.pictures.map((picture) => (picture.kind === 'file' ? picture.path : picture.url));
  const facts: [string, string | undefined][] = [
    ['status', report.errorMessage ? `${is}: ${report.errorMessage}` : is],
    ['output', report.output && `${outputFolder(run.output)}/${report.output}`],
    ['picture', pictures.join(' | ')],
    ['prompt', row.prompt],
    ['asked for', `${row.size}, ${row.ratio}, route ${row.route}`],
  ];
  const lines = facts.flatMap(([name, value]) => (value ? [[`  ${name}`, value]] : []));
  const title = `${printable(row.id)}: row ${row.row} of run ${run.run} (${printable(run.manifest)}, line ${row.line})\n`;
  const calls =
    report.calls.length === 0
      ? '  no call was made for it in this output\n'
      : table([
          ['  CALL', 'STARTED', 'ROUTE', 'ACCOUNT', 'TOOK', 'HTTP', 'CHARGED', 'OUTCOME'],
          ...report.calls.map(callCells),
        ]);
  return title + table(lines) + calls + changesText(report.calls);
}

/** What was done to the pictures of the latest call before they were sent. */
function changesText(calls: ReportCall[]): string {
  const changes = calls.at(-1)?.changes ?? [];
  return changes.map((change) => `  sent: ${printable(change, 300)}\n`).join('');
}

function callCells(call: ReportCall): string[] {
  const { n, at, route, account, ms, httpStatus, errorCode, charged } = call;
  const out = ms === undefined;
  const outcome = errorCode ? `${errorCode}: ${codes[errorCode as keyof typeof codes].says}` : call.outcome;
  return [
    `  ${n}`,
    at.replace('T', ' ').replace(/\.\d+Z$/, ' UTC'),
    String(route),
    account,
    out ? '' : `${(ms / 1000).toFixed(1)} s`,
    String(httpStatus ?? ''),
    charged,
    out ? 'no answer yet, or its process died' : outcome,
  ];
}

/** Columns aligned by what a terminal shows; the last one is as long as it likes. */
function table(rows: string[][]): string {
  const safe = rows.map((cells) => cells.map((cell) => printable(cell)));
  const widths = safe.reduce<number[]>(
    (most, cells) => cells.map((cell, at) => Math.max(most[at] ?? 0, stringWidth(cell))),
    [],
  );
  const pad = (cell: string, at: number): string => cell + ' '.repeat((widths[at] ?? 0) - stringWidth(cell));
  return safe.map((cells) => `${cells.map(pad).join('  ').trimEnd()}\n`).join('');
}
