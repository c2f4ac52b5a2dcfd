import { printable } from '../cells.ts';
import { codes, type ErrorCode } from '../errors.ts';
import type { Row, RowStatus, Source } from '../model.ts';
import type { ReportCall, ReportRow } from '../report/rows.ts';
import { chargeOf, codeOf, isAttempt, isCopy, mayBePaid, type Call } from '../records/call.ts';
import { fingerprint, knownSources } from '../records/fingerprint.ts';
import type { Note, Stop } from '../records/runs.ts';
import { judge, type RowRules } from '../records/state.ts';
import { exitCodes } from '../errors.ts';
import { outputName } from './keep.ts';

/** All that a row's outcome is read from. */
export interface Evidence {
  row: Row;
  /** Its calls in this output, of all runs, ascending. */
  calls: Call[];
  /** How the run settled it without a call. */
  note: Note | undefined;
  /** The call that paid for its picture, where that is another row's. */
  payer: Call | undefined;
  /** A picture of it is still in the spool: paid for, but not at its name. */
  homeless: boolean;
  rules: RowRules;
  origin: string;
  stop: Stop | undefined;
}

/** A row's one outcome, from plan and records alone. */
export function outcomeOf(evidence: Evidence): ReportRow {
  const { row, calls } = evidence;
  const own = calls.filter((call) => !isCopy(call));
  const doubled = own.some((call) => call.after && mayBePaid(call));
  return { row, calls: own.map(toReportCall), ...(doubled && { doubled }), ...concluded(evidence) };
}

type Conclusion = Omit<ReportRow, 'row' | 'calls'>;

function concluded(evidence: Evidence): Conclusion {
  const { row, calls, note, payer, homeless, rules, origin } = evidence;
  if (row.invalid !== undefined) return { status: 'invalid', errorMessage: row.invalid };
  if (homeless && note?.status === 'failed') return withNote(note, calls);
  const own = calls.filter((call) => call.run === rules.run);
  const brought = own.findLast((call) => call.closed?.picture);
  if (brought) return withPicture(isCopy(brought) ? 'skipped' : 'succeeded', row, brought);
  if (note?.status === 'skipped' && payer)
    return { ...withPicture('skipped', row, payer), output: note.output ?? row.output };
  if (note) return payer ? withPayer(row, payer, withNote(note, calls)) : withNote(note, calls);
  const known: Source[] | undefined = knownSources(row.pictures, calls);
  // What a run was told to do again says nothing of the rows that it left out.
  const told = row.selected ? rules : { ...rules, force: false, again: false };
  const verdict = judge(row.route, calls, known && fingerprint(origin, row, known), told);
  // The run was stopped, or the row left out, before its picture was put at another name.
  if (verdict.is === 'done')
    return { ...withPicture('skipped', row, verdict.call), ...whereTold(verdict.call) };
  const last = own.findLast(isAttempt);
  if (verdict.is === 'due') return interrupted(evidence, last);
  return withFailure(verdict.is, verdict.call);
}

/** A row that the run did not bring to an end: stopped, cancelled, or not selected. */
function interrupted({ row, calls, rules, stop }: Evidence, last: Call | undefined): Conclusion {
  const before = row.selected ? last : calls.findLast(isAttempt);
  if (row.selected && stop?.code === exitCodes.cancelled) {
    return { ...(last && withFailure('failed', last)), status: 'cancelled' };
  }
  if (before && !before.closed?.picture) return withFailure('failed', before);
  // Who slept over its call may find only after the row was settled that nothing was sent.
  const unsent = calls.findLast((call) => call.run === rules.run)?.closed?.error_message;
  const why = row.selected ? (stop?.reason ?? unsent) : 'not chosen for this run';
  return { status: 'not_attempted', ...(why && { errorMessage: why }) };
}

function withPicture(status: RowStatus, row: Row, call: Call): Conclusion {
  const picture = call.closed?.picture;
  if (!picture) return { status };
  const { mime, width, height, bytes, sha256 } = picture;
  const notes = [payerNote(row, call), doubleNote(call), noteOn(row, picture)];
  const note = notes.filter((text) => text !== '').join('; ');
  return {
    status,
    output: outputName(row, picture.ext),
    broughtBy: call.id === row.id && !isCopy(call) ? call.n : 0,
    facts: { mime, width, height, bytes, sha256 },
    ...(note && { errorMessage: note }),
  };
}

/** Says which row paid, where that is another. */
function payerNote(row: Row, { id, n, paid_by: payer = { id, n } }: Call): string {
  if (payer.id === row.id) return '';
  return `note: row "${printable(payer.id, 80)}" asked for the same and paid for it (call ${payer.n})`;
}

function doubleNote({ after: [first] = [] }: Call): string {
  return first
    ? `note: row "${printable(first.id, 80)}" asked for the same before, and its call ${first.n} may have been paid too`
    : '';
}

const whereTold = ({ closed }: Call): Pick<Conclusion, 'output'> =>
  closed?.picture ? { output: closed.picture.output } : {};

/** A paid picture that isn't quite what was asked for is kept and said. */
function noteOn(
  row: Row,
  picture: { ext: string; width: number; height: number; verified: boolean },
): string {
  const { ext, width, height, verified } = picture;
  const name = outputName(row, ext).toLowerCase();
  const notes = [
    !verified && 'note: this type is not decoded here, so it is unverified',
    /^\d+x\d+$/.test(row.size) &&
      row.size !== `${width}x${height}` &&
      `note: asked for ${row.size}, got ${width}x${height}`,
    !name.endsWith(`.${ext}`) &&
      !(ext === 'jpg' && name.endsWith('.jpeg')) &&
      `note: the content is ${ext}, not what the name says`,
  ];
  return notes.filter((note) => note !== false).join('; ');
}

function withNote(note: Note, calls: Call[]): Conclusion {
  const last = calls.findLast(isAttempt);
  return {
    status: note.status,
    ...(note.error_code && { errorCode: note.error_code, retryable: isRetryable(note.error_code) }),
    errorMessage: note.error_message ?? last?.closed?.error_message ?? '',
  };
}

/** Says which row's call failed, where that is another's. */
function withPayer(row: Row, payer: Call, conclusion: Conclusion): Conclusion {
  if (payer.id === row.id) return conclusion;
  const once = `(asked once, for row "${printable(payer.id, 80)}", call ${payer.n})`;
  return { ...conclusion, errorMessage: `${conclusion.errorMessage} ${once}` };
}

function withFailure(status: RowStatus, call: Call): Conclusion {
  const code = codeOf(call) ?? 'bug';
  const message = call.closed?.error_message ?? `${code}: ${codes[code].says}`;
  return { status, errorCode: code, errorMessage: message, retryable: isRetryable(code) };
}

/** A row that may succeed the next time it is run. */
function isRetryable(code: ErrorCode): boolean {
  return codes[code].disposition !== 'fatal' && code !== 'content_refused';
}

export function toReportCall(call: Call): ReportCall {
  const { closed } = call;
  const code = codeOf(call);
  return {
    n: call.n,
    run: call.run,
    at: call.started_at,
    route: call.route,
    account: call.account,
    outcome: closed?.outcome ?? 'unknown',
    charged: chargeOf(call),
    attempt: isAttempt(call),
    ...(closed && { ms: closed.ms }),
    ...(closed?.http_status !== undefined && { httpStatus: closed.http_status }),
    ...(code && { errorCode: code }),
    ...(call.changes && { changes: call.changes }),
  };
}
