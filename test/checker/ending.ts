import type { Command, Scene, Violation } from './scene.ts';
import {
  callsOf,
  chargeOf,
  isAttempt,
  isCall,
  nameOf,
  type CallRecord,
  type Line,
  type Report,
  type Result,
  type Run,
  type Summary,
  type Told,
} from './told.ts';

const exitCodes = new Set<number | null>([0, 1, 2, 5, 6, 7, 8, 12, 13, 14, 130, 143]);
/** Codes that only a report tells. */
const reported = new Set<number | null>([5, 6, 7, 8, 12, 13, 14]);
/** Errors that no trying again mends. */
const final = new Set([
  'bad_request',
  'not_found',
  'too_large',
  'unprocessable',
  'content_refused',
  'input_missing',
  'input_unreadable',
  'input_too_large',
  'input_not_a_picture',
  'input_unfit',
  'output_taken',
  'bug',
]);
/** They work or wait as long as that takes. */
const lasting = new Set(['run', 'retry', 'wait', 'worker', 'simulate', 'serve', 'check', 'report', 'submit']);
/** Ten seconds, and what the start of a process takes on a busy machine. */
const shortMs = 20_000;
/** What commands take at most, whatever the manifest, and then some for pictures in flight. */
const mostMb = 400;
const mostHandles = 250;

/** I5: the report's numbers, tables and exit code are those of its rows and of the records. */
export function* checkReport(told: Told): Generator<Violation> {
  const { report } = told;
  const latest = told.runs.at(-1);
  if (!report || !latest || report.summary.run !== latest.run) return;
  const wrong = (said: string): Violation => ({ invariant: 'I5', said: `${told.folder}: ${said}` });
  const records = [...told.stories.values()].flat();
  const pictures = new Set(records.flatMap(({ closed }) => (closed?.picture ? factsOf(closed.picture) : [])));
  for (const row of report.results) yield* checkResult(row);
  const truth = summaryOf(told, latest, report);
  for (const [field, value] of Object.entries(truth)) {
    const said = report.summary[field as keyof Summary];
    if (ordered(said) !== ordered(value))
      yield wrong(`summary.json: ${field} is ${ordered(said)}, not ${ordered(value)}`);
  }
  if (latest.end && ordered(latest.end.summary) !== ordered(report.summary))
    yield wrong(`the end of run ${latest.run} and summary.json differ`);
  yield* checkCallsTable(report.csv.calls);
  yield* checkRunsTable(report.csv.runs);
  yield* checkStop(latest);

  /** A row's calls and credits over all runs, and its picture's facts. */
  function* checkResult(row: Result): Generator<Violation> {
    const { repeats, row: number } = latest!.plan[row.row - 1] ?? {};
    const calls = repeats === true ? [] : (told.stories.get(row.id) ?? []).filter(isCall);
    const charges = calls.map(chargeOf);
    const count = (charge: string): number => charges.filter((one) => one === charge).length;
    const worst = charges.includes('unknown') ? 'unknown' : charges.includes('yes') ? 'yes' : 'no';
    const truth: Partial<Result> = {
      attempts: calls.filter(isAttempt).length,
      charged: worst,
      credits: count('yes'),
      credits_unknown: count('unknown'),
      calls: calls.map(toldCall),
    };
    if (number === undefined) return;
    for (const [field, value] of Object.entries(truth))
      if (ordered(row[field]) !== ordered(value))
        yield wrong(`row ${row.id}: ${field} is ${ordered(row[field])}, not ${ordered(value)}`);
    if (row.sha256 === null) return;
    if (!pictures.has(factsOf(row))) yield wrong(`row ${row.id}: no record has such a picture`);
  }

  /** Every call of every run, once. */
  function* checkCallsTable(lines: Line[]): Generator<Violation> {
    const left = new Map(lines.map((line) => [`${line['id']} ${line['n']}`, line]));
    if (left.size !== lines.length) yield wrong('calls.csv has a call twice');
    for (const call of callsOf(told)) {
      const key = `${plain(call.id, left)} ${call.n}`;
      const line = left.get(key);
      left.delete(key);
      if (!line) yield wrong(`calls.csv lacks ${nameOf(call)}`);
      else if (Object.entries(bookedAs(call)).some(([field, value]) => line[field] !== value))
        yield wrong(`calls.csv says something else of ${nameOf(call)} than its record`);
    }
    for (const key of left.keys()) yield wrong(`calls.csv has a call that is not on record: ${key}`);
  }

  /** A line an ended run, and in it what that run's calls come to; an unknown charge may have been settled since. */
  function* checkRunsTable(lines: Line[]): Generator<Violation> {
    const byRun = new Map(lines.map((line) => [line['run'], line]));
    if (byRun.size !== lines.length) yield wrong('runs.csv has a run twice');
    for (const { run, end } of told.runs) {
      const line = byRun.get(run);
      const summary = run === latest!.run ? report!.summary : end?.summary;
      if (!summary) continue;
      if (!line) {
        yield wrong(`runs.csv lacks run ${run}`);
        continue;
      }
      const { calls, credits, rows, exit_code: code } = summary;
      const told = {
        ...rows,
        calls,
        credits_charged: credits.charged,
        credits_unknown: credits.unknown,
        exit_code: code,
      };
      for (const [field, value] of Object.entries(told))
        if (line[field] !== String(value))
          yield wrong(`runs.csv: ${field} of run ${run} is ${line[field]}, not ${value}`);
      yield* checkSpent(run, summary);
    }
    const unknown = lines.filter(({ run }) => !told.runs.some((one) => one.run === run));
    if (unknown.length > 0) yield wrong(`runs.csv has ${unknown.length} runs that never were`);
  }

  function* checkSpent(run: string, { calls, credits }: Summary): Generator<Violation> {
    const own = callsOf(told).filter((call) => call.run === run && call.closed?.outcome !== 'not_sent');
    const charged = own.filter((call) => chargeOf(call) === 'yes').length;
    const unknown = own.filter((call) => chargeOf(call) === 'unknown').length;
    if (
      own.length !== calls ||
      charged < credits.charged ||
      charged + unknown > credits.charged + credits.unknown
    )
      yield wrong(
        `run ${run} says ${calls} calls, ${credits.charged} paid and ${credits.unknown} unknown; on record are ${own.length}, ${charged} and ${unknown}`,
      );
  }

  /** What a run says that stopped it did happen. */
  function* checkStop({ run, end, state, options }: Run): Generator<Violation> {
    const code = end?.stop?.code;
    if (code === 14 && state !== 'cancelled') yield wrong(`run ${run} ended as cancelled, which nobody did`);
    if (code !== 8) return;
    const own = callsOf(told).filter((call) => call.run === run && chargeOf(call) !== 'no');
    const extra = own.length - new Set(own.map(({ id }) => id)).size;
    const { max_credits: cap = Infinity, retry_budget: budget, max_credits_per_day: day } = options;
    if (own.length < cap && extra < budget && day === undefined)
      yield wrong(`run ${run} stopped below its cap`);
  }
}

/** I5, I6 and I9: each command ended in time, with the exit code of what it did, and took no more than it may. */
export function* checkCommands(outputs: readonly Told[], { commands }: Scene): Generator<Violation> {
  const ends = new Map(outputs.flatMap(({ runs }) => runs.map(({ run, end }) => [run, end] as const)));
  for (const command of commands) {
    const { args, code, signal, ms, killed } = command;
    const name = `reshoot ${args.join(' ')}`;
    const { peakMb = 0, handles = 0 } = command;
    if (peakMb > mostMb) yield { invariant: 'I9', said: `${name} took ${Math.round(peakMb)} MB` };
    if (handles > mostHandles) yield { invariant: 'I9', said: `${name} had ${handles} handles open` };
    if (code === null && !killed) yield { invariant: 'I6', said: `${name} was ended by ${signal}` };
    if (code !== null && !exitCodes.has(code))
      yield { invariant: 'I6', said: `${name} ended with ${code}, which is no exit code` };
    if (code !== null && !lasting.has(args[0] ?? '') && ms > shortMs)
      yield { invariant: 'I6', said: `${name} took ${Math.round(ms)} ms` };
    const polite = command.signals.filter((sent) => sent.name === 'SIGINT' || sent.name === 'SIGTERM');
    if (code !== null && (polite[1]?.beforeEndMs ?? 0) > shortMs)
      yield { invariant: 'I6', said: `${name} went on after a second signal` };
    if ((code === 130 || code === 143) && polite.length === 0)
      yield { invariant: 'I5', said: `${name} ended with ${code} without a signal` };
    if (!['run', 'retry', 'wait'].includes(args[0] ?? '')) continue;
    const told = summaryIn(command);
    const end = told && ends.get(told.run);
    if (!told && reported.has(code))
      yield { invariant: 'I5', said: `${name} ended with ${code}, and no summary` };
    if (end && end.summary.exit_code !== code)
      yield {
        invariant: 'I5',
        said: `${name} ended with ${code}; run ${told.run} with ${end.summary.exit_code}`,
      };
    if (end && told.json && ordered(told.json) !== ordered(end.summary))
      yield { invariant: 'I5', said: `${name} said something else than the report` };
  }
}

/** The run whose summary a command printed. */
function summaryIn({ stdout }: Command): { run: string; json?: Summary } | undefined {
  const run = /^Run (r\w+-\w+): \d+ rows?:/m.exec(stdout)?.[1];
  if (run !== undefined) return { run };
  try {
    const json = JSON.parse(stdout) as Partial<Summary>;
    return typeof json.run === 'string' && json.exit_code !== undefined
      ? { run: json.run, json: json as Summary }
      : undefined;
  } catch {
    return undefined;
  }
}

function summaryOf(told: Told, { run, plan, end }: Run, { results, summary }: Report): Partial<Summary> {
  const count = (rows: Result[]): Record<string, number> => {
    const counts: Record<string, number> = { ...summary.rows };
    for (const status of Object.keys(counts))
      counts[status] = rows.filter((row) => row.status === status).length;
    return counts;
  };
  const all = callsOf(told);
  const own = all.filter((call) => call.run === run && call.closed?.outcome !== 'not_sent');
  const credits = (calls: CallRecord[]): Summary['credits'] => ({
    charged: calls.filter((call) => chargeOf(call) === 'yes').length,
    unknown: calls.filter((call) => chargeOf(call) === 'unknown').length,
  });
  const chosen = results.filter(({ row }) => plan[row - 1]?.selected === true);
  const errors = results.filter(
    ({ status, error_code: code }) => code !== null && status !== 'succeeded' && status !== 'skipped',
  );
  const lengths = own
    .flatMap(({ closed }) => (closed?.outcome === 'succeeded' ? closed.ms : []))
    .sort((a, b) => a - b);
  const share = (part: number): number | null => lengths[Math.ceil(part * lengths.length) - 1] ?? null;
  return {
    run,
    rows: count(results),
    chosen: count(chosen),
    calls: own.length,
    credits: credits(own),
    credits_all_runs: credits(all),
    perhaps_twice: results.filter((row) => row.status !== 'invalid' && isPerhapsTwice(told, row)).length,
    by_route: Object.fromEntries(
      [1, 2]
        .map((route) => [route, own.filter((call) => call.route === route)] as const)
        .filter(([, calls]) => calls.length > 0)
        .map(([route, calls]) => [
          route,
          {
            calls: calls.length,
            succeeded: calls.filter(({ closed }) => closed?.outcome === 'succeeded').length,
          },
        ]),
    ),
    by_error: Object.fromEntries(
      [...new Set(errors.map(({ error_code: code }) => code ?? ''))].map((code) => [
        code,
        errors.filter((row) => row.error_code === code).length,
      ]),
    ),
    latency_ms: { p50: share(0.5), p95: share(0.95), max: share(1) },
    exit_code: end?.stop?.code ?? exitCodeOf(chosen),
  };
}

/** Beside a call whose charge is unknown there is another that was paid, or may have been. */
function isPerhapsTwice({ stories }: Told, { id, calls }: Result): boolean {
  const paid = calls.filter(({ charged }) => charged !== 'no');
  const isDoubled = (stories.get(id) ?? []).some(
    (call) => isCall(call) && call.after && chargeOf(call) !== 'no',
  );
  return (
    (calls.length > 0 && isDoubled) || (paid.length > 1 && paid.some(({ charged }) => charged === 'unknown'))
  );
}

function exitCodeOf(rows: Result[]): number {
  const has = (status: string): boolean => rows.some((row) => row.status === status);
  if (has('cancelled')) return 14;
  if (has('held')) return 12;
  const mayDo = rows.some(({ status, error_code: code }) => status === 'failed' && !final.has(code ?? ''));
  if (mayDo || has('not_attempted')) return 5;
  return has('failed') ? 6 : 0;
}

const toldCall = ({
  n,
  route,
  account,
  started_at,
  changes,
  closed,
}: CallRecord): Result['calls'][number] => ({
  n,
  route,
  account,
  started_at,
  ms: closed?.ms ?? null,
  http_status: closed?.http_status ?? null,
  outcome: closed?.outcome ?? 'unknown',
  charged: closed?.charged ?? 'unknown',
  error_code: closed ? (closed.picture ? null : (closed.error_code ?? 'bug')) : 'worker_lost',
  ...(changes && { changes }),
});

const factsOf = ({
  sha256,
  mime,
  width,
  height,
  bytes,
}: Pick<Result, 'sha256' | 'mime' | 'width' | 'height' | 'bytes'>): string =>
  JSON.stringify([sha256, mime, width, height, bytes]);

const bookedAs = (call: CallRecord): Line => ({
  time: call.started_at,
  run: call.run,
  account: call.account,
  route: String(call.route),
  http_status: String(call.closed?.http_status ?? ''),
  outcome: call.closed?.outcome ?? 'unknown',
  charged: chargeOf(call),
});

/** An id as a table has it. */
const plain = (id: string, lines: ReadonlyMap<string, Line>): string =>
  lines.has(`'${id} 1`) ? `'${id}` : id;

/** As text, whatever the order of its fields. */
function ordered(value: unknown): string {
  return (
    JSON.stringify(value, (_, inner: unknown) =>
      inner !== null && typeof inner === 'object' && !Array.isArray(inner)
        ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
        : inner,
    ) ?? 'nothing'
  );
}
