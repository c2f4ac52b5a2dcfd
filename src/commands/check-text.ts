import type { Check } from '../batch/check.ts';
import { printable } from '../cells.ts';
import type { Finding } from '../model.ts';

/** What `check --json` prints. */
export function checkDocument(file: string, found: Check): object {
  return {
    manifest: file,
    rows: found.manifest.rows.length,
    selected: found.selected,
    to_do: found.due,
    findings: found.findings,
    notes: found.manifest.notes,
    credits: { at_least: found.credits.least, at_most: found.credits.most },
    seconds_at_the_limit: Math.round(found.atLimitMs / 1000),
    bytes_to_send: found.uploadBytes,
    seconds_to_send_at_10_mbit: Math.round(sendSeconds(found)),
    ...(found.changes && { changes: found.changes }),
  };
}

/** What `check` prints for people. */
export function checkText(file: string, found: Check): string {
  const { findings, credits, due, changes } = found;
  const lines = [
    ...findingLines(findings),
    ...found.manifest.notes.map((note) => `note: ${line(note)}`),
    `${printable(file)}: ${plural(found.manifest.rows.length, 'row')}, ${due} to do, ${plural(findings.length, 'problem')}`,
  ];
  if (due > 0) {
    lines.push(
      `Credits: at least ${credits.least}, at most ${credits.most}`,
      `Time at the limit: ${duration(found.atLimitMs / 1000)}, and as long as the last calls take`,
      `To send: ${size(found.uploadBytes)}; at 10 Mbit/s that takes ${duration(sendSeconds(found))}`,
    );
  }
  if (changes) {
    const { added, changed, unchanged, gone } = changes;
    lines.push(
      `Against the output: ${added.length} new, ${changed.length} changed, ${unchanged.length} unchanged, ${gone.length} gone`,
    );
    for (const { id, what } of changed.slice(0, mostShown))
      lines.push(`  changed: ${printable(id)} (${what.join(', ')})`);
    if (changed.length > mostShown) lines.push(`  and ${changed.length - mostShown} more; --json lists all`);
  }
  return `${lines.join('\n')}\n`;
}

const mostShown = 10;

/** Every finding, one line each: where, what stands there, what is wrong, what to do. */
function findingLines(findings: Finding[]): string[] {
  return findings.map(line);
}

function line({ file, line: at, column, value, problem, remedy }: Finding): string {
  const where = [printable(file), at, column && printable(column, 80)]
    .filter((part) => part !== undefined && part !== '')
    .join(':');
  const shown = value === undefined || value === '' ? '' : ` "${printable(value, 80)}":`;
  return `${where}:${shown} ${problem} → ${remedy}`;
}

const sendSeconds = ({ uploadBytes }: Check): number => (uploadBytes * 8) / 10_000_000;

export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.ceil(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function size(bytes: number): string {
  return bytes < 10_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${Math.ceil(bytes / 1_000_000)} MB`;
}
