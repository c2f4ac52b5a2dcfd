import { callId, chargeOf, isCopy, mayBePaid, type Call } from './call.ts';
import type { Owner } from '../owner.ts';
import type { LineFacts } from './index-file.ts';
import type { Run, Steering } from './runs.ts';
import type { Stories } from './stories.ts';

/** A run's money as its records have it; what the throttle's ledger is made from. */
export interface RunBooks {
  state: Steering;
  cap: number | undefined;
  budget: number;
  charged: number;
  unknown: number;
  extra: number;
  open: { call: string; account: string; extra: boolean }[];
  recent: RecordedCall[];
  today: RecordedCall[];
}

interface RecordedCall {
  run: string;
  call: string;
  account: string;
  at: number;
}

/**
 * Adds up a run's calls. An open call holds a credit until somebody learns what became of it.
 * @param stories of all rows below the output; a row whose last call is another run's has none of this run's to add
 * @param since epoch milliseconds: later calls, of any run, count as recent
 * @param daySince later calls, of any run, that may have been paid count as today's
 * @param lives may the process that opened a call still bring it to an end? If not, its charge stays unknown
 */
export async function addUp(
  run: Run,
  state: Steering,
  stories: Pick<Stories, 'all'>,
  since: number,
  daySince: number,
  lives: (owner: Owner) => boolean,
): Promise<RunBooks> {
  const { max_credits: cap, retry_budget: budget } = run;
  const spent = { charged: 0, unknown: 0, extra: 0 };
  const books: RunBooks = { state, cap, budget, ...spent, open: [], recent: [], today: [] };
  const oldest = Math.min(since, daySince);
  const concerned = (last: LineFacts): boolean => last.run === run.run || last.at >= oldest;
  for await (const { calls } of stories.all(concerned)) {
    const own = calls.filter((call) => call.run === run.run);
    addRow(books, own, lives);
    for (const call of calls) {
      const at = Date.parse(call.started_at);
      if (at < oldest || isCopy(call)) continue;
      const recorded = { run: call.run, call: callId(call), account: call.account, at };
      if (at >= since && call.closed?.outcome !== 'not_sent') books.recent.push(recorded);
      if (at >= daySince && mayBePaid(call)) books.today.push(recorded);
    }
  }
  return books;
}

function addRow(books: RunBooks, calls: Call[], lives: (owner: Owner) => boolean): void {
  let paid = 0;
  for (const call of calls) {
    const extra = paid > 0;
    if (!call.closed && lives(call.owner)) {
      books.open.push({ call: callId(call), account: call.account, extra });
    } else if (mayBePaid(call)) {
      books[chargeOf(call) === 'yes' ? 'charged' : 'unknown'] += 1;
      if (extra) books.extra += 1;
    }
    if (mayBePaid(call)) paid += 1;
  }
}
