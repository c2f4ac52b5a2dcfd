import { styleText } from 'node:util';
import cliTruncate from 'cli-truncate';
import stringWidth from 'string-width';
import type { AccountView, RunView } from '../../batch/view.ts';
import { printable } from '../../cells.ts';
import { durationText, plural } from '../../report/text.ts';
import { doneText, timeLeft } from './moment.ts';

/** Where and when a frame is shown. */
export interface Screen {
  columns: number;
  rows: number;
  color: boolean;
  now: Date;
  /** Does something keep the computer from falling asleep? */
  awake: boolean;
}

type Style = Parameters<typeof styleText>[0];
type Paint = (style: Style, text: string) => string;

/** Each outcome's mark in the bar, which stands beside its count too, so that colours only repeat what is there. */
const outcomes = [
  { name: 'succeeded', mark: '#', style: 'green' },
  { name: 'skipped', mark: '+', style: 'cyan' },
  { name: 'failed', mark: 'x', style: 'red' },
  { name: 'held', mark: '?', style: 'yellow' },
  { name: 'other', mark: '-', style: 'gray' },
] as const satisfies { name: keyof RunView['settled']; mark: string; style: Style }[];

const labelWidth = 9;
const longestBar = 48;
const shortestBar = 8;
const mostAccounts = 3;
const mostErrors = 3;
const narrow = 60;

/**
 * A run in a few lines, the most wanted first: no line is wider than the screen, and one line of the screen stays
 * free below. Only what may be counted differently by a terminal (ids) stands last in its line.
 */
export function renderView(view: RunView, screen: Screen): string {
  const paint: Paint = (style, text) =>
    screen.color ? styleText(style, text, { validateStream: false }) : text;
  const width = Math.max(1, screen.columns - 1);
  const block = (label: string, lines: string[][]): string[] => labelled(label, lines, width, paint);
  const lines = [
    barLine(view, width, paint),
    ...block('time', [timePieces(view, screen)]),
    ...block('rows', [rowPieces(view, paint)]),
    ...block('calls', [callPieces(view, paint)]),
    ...block('credits', [creditPieces(view, paint)]),
    ...block('limits', view.accounts.length > 1 ? limitLines(view, paint) : []),
    ...block('errors', errorLines(view, width, paint)),
  ];
  return lines
    .slice(0, Math.max(0, screen.rows - 1))
    .map((line) => fitted(line, width))
    .join('\n');
}

/** Cut to the width: cli-truncate takes some rare characters for narrower than they are. */
function fitted(line: string, width: number): string {
  for (let most = width; most > 0; most--) {
    const cut = cliTruncate(line, most);
    if (stringWidth(cut) <= width) return cut;
  }
  return '';
}

/** Pieces side by side under a label, going on in the next line where they don't fit. */
function labelled(label: string, lines: string[][], width: number, paint: Paint): string[] {
  const broken = lines.flatMap((pieces) => {
    const out: string[] = [];
    for (const piece of pieces) {
      const before = out.at(-1);
      const longer = before === undefined ? piece : `${before}   ${piece}`;
      if (before !== undefined && labelWidth + stringWidth(longer) <= width) out[out.length - 1] = longer;
      else out.push(piece);
    }
    return out;
  });
  return broken.map((text, i) => paint('dim', (i === 0 ? label : '').padEnd(labelWidth)) + text);
}

function barLine({ rows, settled }: RunView, width: number, paint: Paint): string {
  const done = Object.values(settled).reduce((sum, count) => sum + count, 0);
  const share = rows === 0 ? 1 : done / rows;
  const text = `${String(Math.floor(share * 100)).padStart(3)} %   ${done} of ${plural(rows, 'row')}`;
  const cells = Math.min(longestBar, width - stringWidth(text) - 4);
  if (cells < shortestBar) return text;
  let counted = 0;
  let filled = 0;
  const parts = outcomes.map(({ name, mark, style }) => {
    counted += settled[name];
    const upTo = rows === 0 ? 0 : Math.min(cells, Math.floor((counted / rows) * cells));
    const part = mark.repeat(Math.max(0, upTo - filled));
    filled = upTo;
    return part && paint(style, part);
  });
  return `[${parts.join('')}${paint('dim', '.'.repeat(cells - filled))}] ${text}`;
}

function timePieces({ state, run, leftMs, inFlight, accounts, workers }: RunView, screen: Screen): string[] {
  if (state === 'paused') return [`paused; reshoot resume ${run} goes on`];
  if (state !== 'running') {
    const left = leftMs ? [`about ${timeLeft(leftMs)}`] : [];
    return [`${state}: no further call, ${inFlight} in flight to be finished`, ...left];
  }
  if (leftMs !== undefined) {
    const care = screen.awake ? [] : ['keep the computer awake until then'];
    return [doneText(leftMs, screen.now), ...care];
  }
  if (workers === 0) return ['nobody works on it: start reshoot worker'];
  if (accounts.every(({ parked }) => parked)) return ['no account may work'];
  return ['can be said after the first answers'];
}

function rowPieces({ settled, leftOut }: RunView, paint: Paint): string[] {
  const counts = outcomes
    .filter(({ name }) => settled[name] > 0 || name === 'succeeded' || name === 'failed')
    .map(({ name, mark, style }) => `${paint(style, mark)} ${settled[name]} ${name}`);
  return leftOut > 0 ? [...counts, `${leftOut} not chosen`] : counts;
}

function callPieces({ inFlight, accounts, windowMs, workers }: RunView, paint: Paint): string[] {
  const [only, ...others] = accounts;
  return [
    `${inFlight} in flight`,
    ...(only && others.length === 0 ? [useText(only, windowMs, paint)] : []),
    ...(workers > 1 ? [`${workers} workers`] : []),
  ];
}

function creditPieces({ credits }: RunView, paint: Paint): string[] {
  const { charged, unknown, cap } = credits;
  return [
    `${charged} charged`,
    ...(unknown > 0 ? [paint('yellow', `${unknown} perhaps`)] : []),
    ...(cap === undefined ? [] : [`of at most ${cap}`]),
  ];
}

/** A line an account; of many accounts the sum and what is wrong. */
function limitLines({ accounts, windowMs }: RunView, paint: Paint): string[][] {
  const nameWidth = Math.max(...accounts.map(({ name }) => stringWidth(printable(name))));
  const lineOf = (account: AccountView): string[] => {
    const name = printable(account.name);
    return [`${name}${' '.repeat(nameWidth - stringWidth(name))}   ${useText(account, windowMs, paint)}`];
  };
  if (accounts.length <= mostAccounts) return accounts.map(lineOf);
  const name = `${accounts.length} accounts`;
  const used = accounts.reduce((sum, account) => sum + account.used, 0);
  const limit = accounts.reduce((sum, account) => sum + account.limit, 0);
  const paused = accounts.filter(({ pausedMs, parked }) => pausedMs && !parked).length;
  const parked = accounts.filter((account) => account.parked).length;
  return [
    [
      `${name}: ${useText({ name, used, limit }, windowMs, paint)}`,
      ...(paused > 0 ? [paint('yellow', `${paused} paused`)] : []),
      ...(parked > 0 ? [paint('red', `${parked} parked`)] : []),
    ],
  ];
}

function useText({ used, limit, pausedMs, parked }: AccountView, windowMs: number, paint: Paint): string {
  if (parked) return paint('red', `parked: ${printable(parked, 80)}`);
  const use = `${used} of ${limit} in the last ${durationText(windowMs)}`;
  return pausedMs ? `${use}, ${paint('yellow', `paused for ${timeLeft(pausedMs)}`)}` : use;
}

/** Grouped by code; on a narrow screen the id stands without a word. */
function errorLines({ errors }: RunView, width: number, paint: Paint): string[][] {
  const last = width < narrow ? '' : 'last row ';
  const shown = errors.slice(0, mostErrors);
  const timesWidth = Math.max(0, ...shown.map(({ times }) => String(times).length));
  const codeWidth = Math.max(0, ...shown.map(({ code }) => code.length));
  const lines = shown.map(({ code, times, lastId }) => [
    `${String(times).padStart(timesWidth)} ${paint('red', code.padEnd(codeWidth))}   ${last}${printable(lastId)}`,
  ]);
  const more = errors.length - shown.length;
  return more > 0 ? [...lines, [`and ${plural(more, 'more kind')}`]] : lines;
}
