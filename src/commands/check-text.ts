import type { Changes } from '../batch/changes.ts';
import type { Check } from '../batch/check.ts';
import { printable } from '../cells.ts';
import { plural } from '../report/text.ts';
import type { Finding } from '../model.ts';

/** What `check --json` prints. */
export function checkDocument(file: string, found: Check): object {
  return {
    manifest: file,
    rows: found.manifest.rows.length,
    selected: found.selected,
    invalid: found.invalid,
    to_do: found.due,
    findings: found.findings,
    notes: found.manifest.notes,
    credits: {
      at_least: found.credits.least,
      at_most: found.credits.most,
      needed_at_least: found.credits.needed,
    },
    seconds_at_the_limit: Math.round(found.atLimitMs / 1000),
    bytes_to_send: found.uploadBytes,
    seconds_to_send_at_10_mbit: Math.round(sendSeconds(found)),
    ...(found.changes && { changes: changesDocument(found.changes) }),
  };
}

function changesDocument({ sentBefore, ...lists }: Changes): object {
  return { ...lists, sent_before: sentBefore };
}

/** What `check` prints for people. */
export function checkText(file: string, found: Check, skipInvalid: boolean): string {
  const { findings, due, changes } = found;
  const lines = [
    ...findings.map(line),
    ...found.manifest.notes.map((note) => `note: ${line(note)}`),
    `${printable(file)}: ${countsText(found, skipInvalid)}`,
  ];
  if (due > 0) {
    lines.push(
      creditsText(found.credits),
      timeText(found.atLimitMs),
      `To send: ${size(found.uploadBytes)}; at 10 Mbit/s that takes ${duration(sendSeconds(found))}`,
    );
  }
  if (changes) lines.push(...changesLines(changes));
  return `${lines.join('\n')}\n`;
}

function countsText(found: Check, skipInvalid: boolean): string {
  const { selected, invalid, due, findings, manifest } = found;
  const all = manifest.rows.length;
  return [
    plural(all, 'row'),
    ...(selected < all ? [`${selected} chosen`] : []),
    ...(skipInvalid && invalid > 0 ? [`${invalid} left out as invalid`] : []),
    `${due} to do`,
    plural(findings.length, 'problem'),
  ].join(', ');
}

function creditsText({ least, most, needed }: Check['credits']): string {
  if (needed <= least) return `Credits: at least ${least}, at most ${most}`;
  return `Credits: at most ${most}: the cap of ${most} is below the ${needed} credits that these rows need at least`;
}

function timeText(atLimitMs: number): string {
  if (atLimitMs === 0) return 'Time at the limit: all calls may go at once, so as long as they take';
  return `Time at the limit: about ${duration(atLimitMs / 1000)}, and as long as the last calls take`;
}

function changesLines({ added, changed, unchanged, held, failed, sentBefore, gone }: Changes): string[] {
  const what = [...new Set(changed.flatMap((row) => row.what))].join(', ');
  const rows = counted([
    [unchanged.length, 'done'],
    [held.length, 'held'],
    [failed.length, 'failed for good'],
    [sentBefore.length, 'sent before'],
    [added.length, 'new'],
    [changed.length, `changed (${what})`],
  ]);
  const parts = [rows, counted([[gone.length, 'not in this manifest (kept)']])].filter((part) => part !== '');
  if (parts.length === 0) return [];
  const shown = changed.slice(0, mostShown);
  return [
    `Against the output: ${parts.join('; ')}`,
    ...shown.map(({ id, what }) => `  changed: ${printable(id)} (${what.join(', ')})`),
    ...(changed.length > mostShown ? [`  and ${changed.length - mostShown} more; --json lists all`] : []),
  ];
}

/** Those of which there are any. */
function counted(counts: [number, string][]): string {
  return counts
    .filter(([count]) => count > 0)
    .map(([count, name]) => `${count} ${name}`)
    .join(', ');
}

const mostShown = 10;

/** A finding in one line: where, what stands there, what is wrong, what to do. */
function line({ file, line: at, column, value, problem, remedy }: Finding): string {
  const where = [printable(file), at, column && printable(column, 80)]
    .filter((part) => part !== undefined && part !== '')
    .join(':');
  const shown = value === undefined || value === '' ? '' : ` "${printable(value, 80)}":`;
  return `${where}:${shown} ${problem} → ${remedy}`;
}

const sendSeconds = ({ uploadBytes }: Check): number => (uploadBytes * 8) / 10_000_000;

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function size(bytes: number): string {
  return bytes < 10_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${Math.ceil(bytes / 1_000_000)} MB`;
}
