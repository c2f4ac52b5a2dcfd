import type { Changes } from '../batch/changes.ts';
import type { Check } from '../batch/check.ts';
import { printable } from '../cells.ts';
import { nameOfManifest } from '../manifest/source.ts';
import { plural } from '../report/text.ts';
import type { Finding } from '../model.ts';
import { costOf, costText, type Price } from './price.ts';

/** What `check --json` prints, in pieces: its lists may hold a million items. */
export function* checkDocument(file: string, found: Check, price: Price | undefined): Generator<string> {
  const { manifest, changes, room } = found;
  yield* jsonObject(
    {
      manifest: file,
      rows: manifest.rows,
      selected: found.selected,
      invalid: found.invalid,
      to_do: found.due,
      findings: found.findings,
      notes: manifest.notes,
      credits: {
        at_least: found.credits.least,
        at_most: found.credits.most,
        needed_at_least: found.credits.needed,
      },
      ...(price && { cost: costDocument(found.credits, price) }),
      seconds_at_the_limit: Math.round(found.atLimitMs / 1000),
      bytes_to_send: found.uploadBytes,
      seconds_to_send_at_10_mbit: Math.round(sendSeconds(found)),
      ...(room && { bytes_to_store: room.neededBytes, bytes_free: room.freeBytes }),
      ...(changes && { changes: changesDocument(changes) }),
    },
    '',
  );
  yield '\n';
}

function costDocument({ least, most }: Check['credits'], price: Price): Record<string, unknown> {
  return {
    at_least: Number(costOf(least, price)),
    at_most: Number(costOf(most, price)),
    currency: price.currency === '' ? null : price.currency,
  };
}

function changesDocument({ sentBefore, ...lists }: Changes): Record<string, unknown> {
  return { ...lists, sent_before: sentBefore };
}

/** As `JSON.stringify(value, null, 2)`, but for the items of lists, each of which stands on one line. */
function* jsonObject(fields: Record<string, unknown>, indent: string): Generator<string> {
  let before = '{\n';
  for (const [name, value] of Object.entries(fields)) {
    yield `${before}${indent}  ${JSON.stringify(name)}: `;
    if (isList(value)) yield* jsonList(value, `${indent}  `);
    else if (name === 'changes') yield* jsonObject(value as Record<string, unknown>, `${indent}  `);
    else yield JSON.stringify(value, null, 2).replaceAll('\n', `\n${indent}  `);
    before = ',\n';
  }
  yield `\n${indent}}`;
}

const isList = (value: unknown): value is Iterable<unknown> =>
  typeof value === 'object' && value !== null && Symbol.iterator in value;

function* jsonList(items: Iterable<unknown>, indent: string): Generator<string> {
  let before = '[\n';
  for (const item of items) {
    yield `${before}${indent}  ${JSON.stringify(item)}`;
    before = ',\n';
  }
  yield before === '[\n' ? '[]' : `\n${indent}]`;
}

/** What `check` prints for people, in pieces. */
export function* checkText(
  file: string,
  found: Check,
  skipInvalid: boolean,
  price: Price | undefined,
): Generator<string> {
  const { findings, due, changes, manifest, room } = found;
  yield* findingLines(findings);
  for (const note of manifest.notes) yield `note: ${line(note)}\n`;
  yield `${printable(nameOfManifest(file))}: ${countsText(found, skipInvalid)}\n`;
  if (due > 0) {
    yield `${creditsText(found.credits)}\n`;
    if (price) yield `In money: ${costText(found.credits.least, found.credits.most, price)}\n`;
    yield `${timeText(found.atLimitMs)}\n`;
    yield `To send: ${size(found.uploadBytes)}; at 10 Mbit/s that takes ${duration(sendSeconds(found))}\n`;
    if (room) yield `${roomText(room)}\n`;
  }
  if (changes) for (const text of changesLines(changes)) yield `${text}\n`;
}

function countsText(found: Check, skipInvalid: boolean): string {
  const { selected, invalid, due, findings, manifest } = found;
  const all = manifest.rows;
  return [
    plural(all, 'row'),
    ...(selected < all ? [`${selected} chosen`] : []),
    ...(skipInvalid && invalid > 0 ? [`${invalid} left out as invalid`] : []),
    `${due} to do`,
    plural(findings.length, 'problem'),
  ].join(', ');
}

/** What a run may cost, and that its cap is too low where it is. */
export function creditsText({ least, most, needed, maybeDone }: Check['credits']): string {
  const maybe =
    maybeDone > 0 ? `; ${plural(maybeDone, 'row')} may be done already: a picture has only another date` : '';
  if (needed <= least) return `Credits: at least ${least}, at most ${most}${maybe}`;
  return `Credits: at most ${most}: the cap of ${most} is below the ${needed} credits that these rows need at least`;
}

function roomText({ neededBytes, freeBytes }: NonNullable<Check['room']>): string {
  const text = `To store: about ${size(neededBytes)}; ${size(freeBytes)} are free`;
  if (neededBytes <= freeBytes) return text;
  return `${text}: too little, and the run stops before what is paid for finds no room; make some first`;
}

function timeText(atLimitMs: number): string {
  if (atLimitMs === 0) return 'Time at the limit: all calls may go at once, so as long as they take';
  return `Time at the limit: about ${duration(atLimitMs / 1000)}, and as long as the last calls take`;
}

function changesLines({ added, changed, unchanged, held, failed, sentBefore, gone }: Changes): string[] {
  const kinds = new Set<string>();
  const shown: string[] = [];
  for (const { id, what } of changed) {
    for (const kind of what) kinds.add(kind);
    if (shown.length < mostShown) shown.push(`  changed: ${printable(id)} (${what.join(', ')})`);
  }
  const rows = counted([
    [unchanged.length, 'unchanged'],
    [held.length, 'held'],
    [failed.length, 'failed for good'],
    [sentBefore.length, 'sent before'],
    [added.length, 'new'],
    [changed.length, `changed (${[...kinds].join(', ')})`],
  ]);
  const parts = [rows, counted([[gone.length, 'gone from this manifest (kept)']])].filter(
    (part) => part !== '',
  );
  if (parts.length === 0) return [];
  return [
    `Against the output: ${parts.join('; ')}`,
    ...shown,
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

/** More findings of one kind than this are told as one. */
const mostOfAKind = 20;
const mostKinds = 1000;

/** What is told of a finding but for the names, numbers and paths in it. */
const kindOf = ({ column = '', problem }: Finding): string =>
  `${column}\n${problem.replace(/\/.*/s, '…').replaceAll(/"[^"]*"|\d+/g, '…')}`;

/** A line a finding, in order; of many of one kind only the first, with their number. */
function* findingLines(findings: Iterable<Finding>): Generator<string> {
  const counts = new Map<string, number>();
  for (const finding of findings) {
    const kind = kindOf(finding);
    if (counts.size < mostKinds || counts.has(kind)) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  const told = new Set<string>();
  for (const finding of findings) {
    const kind = kindOf(finding);
    const count = counts.get(kind) ?? 1;
    if (count <= mostOfAKind) yield `${line(finding)}\n`;
    else if (!told.has(kind)) {
      told.add(kind);
      yield `${plural(count, 'row')}, the first ${line(finding)}; --json lists all\n`;
    }
  }
}

/** A finding in one line: where, what stands there, what is wrong, what to do. */
export function line({ file, line: at, column, value, problem, remedy }: Finding): string {
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
  if (bytes < 10e6) return `${Math.ceil(bytes / 1e3)} kB`;
  return bytes < 10e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${Math.ceil(bytes / 1e9)} GB`;
}

/** Pieces joined to blocks, or a million lines would be as many writes. */
export function* inBlocks(pieces: Iterable<string>): Generator<string> {
  let block = '';
  for (const piece of pieces) {
    block += piece;
    if (block.length < 65_536) continue;
    yield block;
    block = '';
  }
  if (block) yield block;
}
