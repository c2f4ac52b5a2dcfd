import type { RunView } from '../../batch/view.ts';
import { durationText, plural } from '../../report/text.ts';
import { doneText } from './moment.ts';

/** A run in one line, for logs and for terminals that can't redraw. */
export function plainLine(view: RunView, now: Date): string {
  const { settled, accounts, credits, windowMs, inFlight, rows, errors } = view;
  const done = Object.values(settled).reduce((sum, count) => sum + count, 0);
  const outcomes = Object.entries(settled)
    .filter(([name, count]) => count > 0 || name === 'succeeded' || name === 'failed')
    .map(([name, count]) => `${count} ${name}`);
  const used = accounts.reduce((sum, account) => sum + account.used, 0);
  const limit = accounts.reduce((sum, account) => sum + account.limit, 0);
  const unknown = credits.unknown > 0 ? ` and ${credits.unknown} perhaps` : '';
  const work = [
    `${inFlight} in flight`,
    `${used} of ${limit} calls in the last ${durationText(windowMs)}`,
    ...accounts.flatMap(({ name, parked }) => (parked ? [`account ${name} parked (${parked})`] : [])),
    `${plural(credits.charged, 'credit')}${unknown}`,
  ];
  const failures = errors.map(({ code, times }) => `${times} ${code}`).join(', ');
  return [
    `${done} of ${plural(rows, 'row')}: ${outcomes.join(', ')}`,
    work.join(', '),
    ...(failures ? [`errors: ${failures}`] : []),
    ...ending(view, now),
  ].join('; ');
}

function ending({ state, leftMs }: RunView, now: Date): string[] {
  if (state !== 'running') return [state];
  return leftMs === undefined ? [] : [doneText(leftMs, now)];
}
