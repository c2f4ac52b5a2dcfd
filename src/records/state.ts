import { codes, type ErrorCode } from '../errors.ts';
import type { Route } from '../model.ts';
import { chargeOf, codeOf, isAttempt, mayBePaid, type Call } from './call.ts';

/** The options of a run that decide about its rows. */
export interface RowRules {
  run: string;
  maxAttempts: number;
  /** As the user gave it; not given, each call's own rule stands. */
  onUnknown?: 'retry' | 'hold' | undefined;
  /** Do rows again although they are done. */
  force: boolean;
  /** Do rows again that an earlier run left as failed for good or held. */
  again?: boolean | undefined;
}

/** What is to be done about a row, as its records have it. */
export type Verdict =
  | { is: 'done'; call: Call }
  | { is: 'failed' | 'held'; call: Call; code: ErrorCode }
  | { is: 'due'; due: Due };

/** The call that a row needs next. */
export interface Due {
  n: number;
  /** Attempts of this run, this one counted; odd ones take the row's route, even ones the other. */
  attempt: number;
  route: Route;
  /** The row may have been paid in this run already, so this one counts against the retry budget. */
  extra: boolean;
}

/**
 * The state of a row: done, failed for good, held, or due for its next call. Reads nothing but the row's calls, so a
 * crash, another process or a lost Redis can't change the answer. An open call is taken for lost: ask only when its
 * process is dead.
 * @param paid what the row would be paid for today; undefined when that isn't known yet, then nothing counts as done
 */
export function judge(route: Route, calls: Call[], paid: string | undefined, rules: RowRules): Verdict {
  const own = calls.filter((call) => call.run === rules.run);
  const same = calls.filter((call) => call.fingerprint === paid);
  const done = same.findLast((call) => call.closed?.picture && (!rules.force || call.run === rules.run));
  if (done) return { is: 'done', call: done };
  const attempts = own.filter(isAttempt);
  const last = attempts.at(-1);
  const earlier = rules.force || rules.again ? undefined : same.findLast(isAttempt);
  const stop = last
    ? stopAfter(last, own, rules, attempts.length >= rules.maxAttempts)
    : earlier && stopAfter(earlier, same, rules, false);
  if (stop) return stop;
  const attempt = attempts.length + 1;
  const other: Route = route === 1 ? 2 : 1;
  return {
    is: 'due',
    due: {
      n: (calls.at(-1)?.n ?? 0) + 1,
      attempt,
      route: attempt % 2 === 1 ? route : other,
      extra: own.some(mayBePaid),
    },
  };
}

/**
 * Does a row rest after this call? What an earlier run left behind rests too: what failed for good until the row
 * changes, what is held until it is told otherwise.
 * @param calls those of which a content refusal is judged
 * @param isSpent no attempt is left
 */
function stopAfter(
  last: Call,
  calls: Call[],
  rules: RowRules,
  isSpent: boolean,
): Extract<Verdict, { is: 'failed' | 'held' }> | undefined {
  const code = codeOf(last);
  if (code === undefined) return undefined;
  if (isHeld(last, rules)) return { is: 'held', call: last, code };
  return isSpent || isForGood(code, calls) ? { is: 'failed', call: last, code } : undefined;
}

const isHeld = (last: Call, rules: RowRules): boolean =>
  chargeOf(last) === 'unknown' && (rules.onUnknown ?? last.on_unknown) === 'hold';

/** Would trying again be in vain? A content refusal is final once both routes have said it. */
function isForGood(code: ErrorCode, calls: Call[]): boolean {
  if (code !== 'content_refused') return codes[code].disposition === 'fatal';
  const refusing = calls.filter((call) => codeOf(call) === code).map((call) => call.route);
  return new Set(refusing).size === 2;
}

/**
 * How long to wait before an attempt: 1 s, 2 s, 4 s … before the 2nd, 3rd, 4th, ± 20 %, at most 30 s.
 * @param random in [0, 1)
 * @returns milliseconds
 */
export function backoffMs(attempt: number, random: number): number {
  const base = Math.min(30_000, 1000 * 2 ** Math.max(0, attempt - 2));
  return Math.min(30_000, Math.round(base * (0.8 + 0.4 * random)));
}
