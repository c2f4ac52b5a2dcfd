import { parse } from 'csv-parse/sync';
import type { Scene, Violation } from './scene.ts';
import {
  answerOf,
  isAttempt,
  isCall,
  type CallRecord,
  type PlanRow,
  type Report,
  type Result,
  type Run,
  type Told,
} from './told.ts';

const statuses = new Set(['succeeded', 'skipped', 'failed', 'held', 'cancelled', 'not_attempted', 'invalid']);

/** A result's fields that are not the user's. */
const fields = new Set(
  (
    'id row status output error_code error_message http_status attempts route account charged credits ' +
    'credits_unknown mime width height bytes sha256 api_ms started_at finished_at calls'
  ).split(' '),
);
/** Those that failed.csv has as well; the rest of it asks for the row again. */
const errorFields = new Set(['id', 'error_code', 'error_message']);

/** I1: every row of the manifest is in the plan and in the report, once, with the outcome that its records tell. */
export function* checkRows(told: Told, manifests: Scene['manifests']): Generator<Violation> {
  const lost = (said: string): Violation => ({ invariant: 'I1', said: `${told.folder}: ${said}` });
  for (const run of told.runs) yield* checkPlan(run);
  const latest = told.runs.at(-1);
  const { report } = told;
  if (!latest) return;
  if (!report || report.summary.run !== latest.run) return yield lost(`run ${latest.run} has no report`);
  yield* checkLines(report);
  for (const [i, row] of latest.plan.entries()) {
    const result = report.results[i];
    if (result?.row !== row.row || result.id !== row.id)
      return yield lost(`row ${row.row}, ${row.id}, is not at its place in the report`);
    const wrong = outcomeFlaw(told, latest, row, result);
    if (wrong !== undefined) yield lost(`row ${row.id} is ${result.status}: ${wrong}`);
    for (const [name, cell] of Object.entries(row.columns))
      if (!fields.has(name) && result[name] !== cell)
        yield lost(`row ${row.id}: its ${name} is not what the plan has`);
  }
  const more = report.results.length - latest.plan.length;
  if (more > 0) yield lost(`${more} lines of the report are of no row`);

  /** The manifest's rows, where it is a plain table that is as it was. */
  function* checkPlan({ run, options, plan }: Run): Generator<Violation> {
    const file = manifests.get(options.manifest);
    const isPlain = file && options.manifest.endsWith('.csv') && options.again === undefined;
    if (!isPlain || file.changedMs > Date.parse(options.started_at)) return;
    const rows = parse<Record<string, string>>(file.text, {
      bom: true,
      columns: true,
      relax_column_count: true,
      trim: true,
    });
    const [first] = rows;
    if (!first || first['id'] === undefined || first['prompt'] === undefined || 'error_code' in first) return;
    if (rows.length !== plan.length)
      yield lost(`run ${run} has ${plan.length} rows, its manifest ${rows.length}`);
    for (const [i, row] of plan.entries()) {
      if (row.id === rows[i]?.['id'] && (row.invalid !== undefined || row.prompt === rows[i]['prompt']))
        continue;
      return yield lost(`run ${run}: row ${row.row} is not that of the manifest`);
    }
  }

  /** The tables say what the lines say. */
  function* checkLines({ results, csv }: Report): Generator<Violation> {
    const undone = results.filter(({ status }) => status !== 'succeeded' && status !== 'skipped');
    for (const [name, rows, told] of [
      ['results', results, undefined],
      ['failed', undone, errorFields],
    ] as const) {
      const table = csv[name];
      if (table.length !== rows.length)
        yield lost(`${name}.csv has ${table.length} lines; there should be ${rows.length}`);
      for (const [i, row] of rows.entries()) {
        const odd = Object.entries(table[i] ?? {}).find(
          ([field, cell]) => (told?.has(field) ?? field in row) && !isCell(cell, row[field]),
        );
        if (odd) yield lost(`${name}.csv: ${odd[0]} of row ${row.id} is ${odd[1]}`);
      }
    }
  }
}

/** As a table has it, where a formula gets a mark before it. */
function isCell(cell: string, value: unknown): boolean {
  const text =
    typeof value === 'string' ? value : value === null || value === undefined ? '' : JSON.stringify(value);
  return cell === text || cell === `'${text}`;
}

/** Undefined: that is how the row ended. */
function outcomeFlaw(
  { stories, files }: Told,
  run: Run,
  row: PlanRow,
  { status, error_code: code }: Result,
): string | undefined {
  if (!statuses.has(status)) return 'there is no such outcome';
  const isRepeat = row.repeats === true;
  const story = isRepeat ? [] : (stories.get(row.id) ?? []);
  const own = story.filter((call) => call.run === run.run);
  const attempts = own.filter(isAttempt);
  const note = isRepeat ? undefined : run.notes.get(row.row);
  const brought = own.findLast(({ closed }) => closed?.picture);
  const stop = run.end?.stop;
  // Paid for, and something that isn't ours stands at its name.
  const isHomeless =
    note?.status === 'failed' && own.some((call) => files.has(`.reshoot/spool/${answerOf(call)}.bin`));

  const must = mustBe();
  if (must !== undefined && must !== status) return `it should be ${must}`;
  switch (status) {
    case 'succeeded':
      return must === undefined ? 'no call of this run brought its picture' : undefined;
    case 'skipped':
      return must === undefined && !story.some((call) => call.closed?.picture && isAskedBy(call, row))
        ? 'nothing was done before'
        : undefined;
    case 'invalid':
      return must === undefined ? 'nothing is wrong with it' : undefined;
    case 'cancelled':
      return stop?.code === 14 && row.selected ? undefined : 'nobody cancelled it';
    case 'not_attempted':
      if (!row.selected) return undefined;
      if (attempts.length > 0) return 'it was sent';
      return stop || !run.end ? undefined : 'nothing stopped the run';
    default: {
      const last = note ?? lastFailure();
      if (!last) return 'it was never sent';
      const cause = 'status' in last ? last.error_code : (last.closed?.error_code ?? 'worker_lost');
      return cause === code ? undefined : `its error is ${cause}, reported ${code}`;
    }
  }

  function mustBe(): string | undefined {
    if (row.invalid !== undefined) return 'invalid';
    if (brought && !isHomeless) return isCall(brought) ? 'succeeded' : 'skipped';
    if (note) return note.status;
    const isForced = run.options.force && row.selected;
    if (attempts.length === 0 && !isForced && story.some((call) => call.closed?.picture && isOf(call, row)))
      return 'skipped';
    const last = attempts.at(-1);
    if (last?.closed && last.closed.charged !== 'unknown' && stop?.code !== 14) return 'failed';
    return undefined;
  }

  function lastFailure(): CallRecord | undefined {
    const last = (attempts.length > 0 ? attempts : story.filter(isAttempt)).at(-1);
    if (last?.closed?.picture && attempts.length > 0) return undefined;
    return story.findLast(
      (call) => isAttempt(call) && !call.closed?.picture && (attempts.length === 0 || call.run === run.run),
    );
  }
}

/** It asks for the row's very pictures, as far as files look the same. */
const isOf = (call: CallRecord, row: PlanRow): boolean =>
  isAskedBy(call, row) &&
  row.pictures.length === call.sources.length &&
  row.pictures.every(({ url, path, mtimeMs, ino }, i) => {
    const source = call.sources[i];
    return url === source?.url && path === source?.path && mtimeMs === source?.mtimeMs && ino === source?.ino;
  });

const isAskedBy = (call: CallRecord, row: PlanRow): boolean =>
  call.prompt === row.prompt && call.size === row.size && call.ratio === row.ratio;
