import { z } from 'zod';
import { codes, exitCodes, SurroundingsError, type ErrorCode, type ExitCode } from '../errors.ts';
import type { Row } from '../model.ts';
import { sourceSchema } from './call.ts';
import type { RecordFiles } from './files.ts';
import { fileBlocks, lineBlocks, type Line } from './lines.ts';

const folder = '.reshoot/runs';

const findingSchema = z.object({
  file: z.string(),
  line: z.number().exactOptional(),
  column: z.string().exactOptional(),
  value: z.string().exactOptional(),
  problem: z.string(),
  remedy: z.string(),
});

/** From what a run's rows were read: while that is the same, so are they. */
const askedSchema = z.object({
  /** Of the manifest's bytes and of all else that its rows depend on. */
  hash: z.string(),
  /** sha256 of the rows, as a plan asks for them. */
  rows: z.string(),
  /** What the check remarked upon. */
  notes: z.array(findingSchema),
});

const runSchema = z.object({
  v: z.literal(1),
  run: z.string(),
  /** As the user named it. */
  manifest: z.string(),
  origin: z.string(),
  started_at: z.string(),
  /** sha256 of what the plan asks for: an equal plan goes on with a run that was cut off. */
  plan: z.string(),
  rows: z.number().int(),
  /** Of them those that are to be done: chosen, and valid. */
  chosen: z.number().int().optional(),
  /** The user's own columns, in the manifest's order. */
  columns: z.array(z.string()),
  max_attempts: z.number().int(),
  /** Calls charged or unknown never exceed it; absent: no cap. */
  max_credits: z.number().int().optional(),
  /** The same for all calls of an account on one day of the time zone. */
  max_credits_per_day: z.number().int().optional(),
  time_zone: z.string().optional(),
  /** Extra calls of the run that were charged or unknown never exceed it. */
  retry_budget: z.number().int(),
  on_unknown: z.enum(['retry', 'hold']).optional(),
  /** Stop when this share of at least 20 finished rows failed. */
  halt_share: z.number().optional(),
  timeout_ms: z.number(),
  /** Longest side in pixels of what is sent; absent: any. */
  input_max: z.number().int().optional(),
  /** Pictures that would have to be changed are refused. */
  strict: z.boolean().optional(),
  force: z.boolean(),
  /** Absent: its rows can't be told from what they were read from. */
  asked: askedSchema.optional(),
  /** Nothing had changed since that run, which left nothing to do: the plan is that run's. */
  carried_from: z.string().optional(),
  /** A `retry`, and which rows it was asked for: failed and held ones are tried again. */
  again: z.string().optional(),
});

/** A run's options as they were given, the latest winning: `runs/<run>/run.json`. Version 1. */
export type Run = z.infer<typeof runSchema>;

const stopSchema = z.object({
  code: z.literal(Object.values(exitCodes)),
  reason: z.string(),
});

/** Why a run ended before its rows were done. */
export interface Stop {
  code: ExitCode;
  reason: string;
}

const sealSchema = z.object({
  /** State of the call records. */
  calls: z.string(),
  /** State of the folders of the rows' pictures. */
  folders: z.string(),
  /** State of each file that was made of the rows, by its name below the output. */
  files: z.record(z.string(), z.string()),
  /** Ids of other rows, which have pictures too. */
  gone: z.array(z.string()),
});

/** What an output is like whose latest run left nothing to do; while it is the same, there is nothing to do. */
export type Seal = z.infer<typeof sealSchema>;

const endSchema = z.object({
  v: z.literal(1),
  seal: sealSchema.optional(),
  stop: stopSchema.optional(),
  summary: z.record(z.string(), z.unknown()),
});

/** Written last of all: the run is finished and its report exists. */
export interface End {
  seal?: Seal | undefined;
  stop?: Stop | undefined;
  summary: Record<string, unknown>;
}

const steeringSchema = z.object({ v: z.literal(1), state: z.enum(['running', 'paused', 'cancelled']) });

/** What its user wants of a run that is on: `runs/<run>/state.json`; none means running. Version 1. */
export type Steering = z.infer<typeof steeringSchema>['state'];

const noteSchema = z.object({
  v: z.literal(1),
  row: z.number().int(),
  status: z.enum(['skipped', 'failed', 'held']),
  error_code: z.enum(Object.keys(codes) as [ErrorCode, ...ErrorCode[]]).optional(),
  error_message: z.string().optional(),
  /** The call that paid for a skipped row's picture, and that row's id: perhaps not its own; else another row's call that decided. */
  paid_by: z.object({ id: z.string(), n: z.number().int() }).optional(),
  /** A skipped row's own name below the output. */
  output: z.string().optional(),
  /** What was read to find that out, so that it need not be read again. */
  sources: z.array(sourceSchema),
});

/** How a row was settled without a call of its own in the run: `runs/<run>/rows/<row>.json`. Version 1. */
export type Note = Omit<z.infer<typeof noteSchema>, 'v'>;

/** Where a row's line lies in its plan, so that a worker reads it and no more. */
export interface Place {
  row: number;
  from: number;
  length: number;
}

/** A row of a plan. */
export interface PlannedRow {
  place: Place;
  /** Reads its line. @throws SurroundingsError when it is damaged */
  read(): Row;
}

export interface Runs {
  /** All runs into this output, the oldest first. */
  list(): Promise<string[]>;
  read(run: string): Promise<Run>;
  write(run: Run): Promise<void>;
  /** @param lines the rows as `planLine` writes them */
  writePlan(run: string, lines: Iterable<string | Buffer> | AsyncIterable<Buffer>): Promise<void>;
  /** The bytes of a plan, in order. */
  planBytes(run: string): AsyncIterable<Buffer>;
  /** Every row of the plan with its place, in order, some at a time. @throws SurroundingsError when it is gone or damaged */
  plan(run: string): AsyncGenerator<PlannedRow[]>;
  /** One row of the plan. @throws Error where the place is not that row's */
  row(run: string, place: Place): Promise<Row>;
  /** What the run was told last. */
  steering(run: string): Promise<Steering>;
  steer(run: string, state: Steering): Promise<void>;
  end(run: string): Promise<End | undefined>;
  writeEnd(run: string, end: End): Promise<void>;
  note(run: string, note: Note): Promise<void>;
  /** Has the run a note on any row? */
  hasNotes(run: string): Promise<boolean>;
  /** Gives the run's note on a row, if there is one; it is read when it is asked for. */
  notes(run: string): Promise<(row: number) => Promise<Note | undefined>>;
}

/** Runs below an output: `.reshoot/runs/<run>/`, with the options, the plan, the notes and the end. */
export function createRuns(files: RecordFiles): Runs {
  const readJson = async <T>(name: string, schema: z.ZodType<T>): Promise<T | undefined> => {
    const text = await files.read(name);
    if (!text) return undefined;
    const parsed = schema.safeParse(JSON.parse(text.toString('utf8')));
    if (!parsed.success)
      throw new Error(`${name} is damaged or of a newer reshoot: ${z.prettifyError(parsed.error)}`);
    return parsed.data;
  };
  const writeJson = (name: string, content: object): Promise<void> =>
    files.write(name, `${JSON.stringify({ v: 1, ...content }, null, 1)}\n`);

  return {
    async list() {
      const runs = (await files.list(folder)).map((name) => name.replace(/\/$/, '')).sort();
      // Its options are written last: a run without them was never begun.
      const begun = await Promise.all(runs.map((run) => files.stat(at(run, 'run.json'))));
      return runs.filter((_, i) => begun[i]);
    },
    async read(run) {
      const found = await readJson(at(run, 'run.json'), runSchema);
      if (!found)
        throw new SurroundingsError(
          `run ${run} is not in this output any more: ${at(run, 'run.json')} is gone`,
        );
      return found;
    },
    write: (run) => writeJson(at(run.run, 'run.json'), run),
    writePlan: (run, lines) => files.write(planName(run), lines),
    planBytes: (run) => fileBlocks(files, planName(run)),
    async *plan(run) {
      const name = planName(run);
      if (!(await files.stat(name))) throw new SurroundingsError(`the plan of run ${run} is gone: ${name}`);
      for await (const lines of lineBlocks(files, name)) yield lines.map(plannedRow);
    },
    async row(run, place) {
      const line = await files.readRange(planName(run), place.from, place.length);
      const row = readRow(line);
      if (row.row !== place.row)
        throw new Error(`run ${run}: row ${place.row} is not at its place in the plan`);
      return row;
    },
    steering: async (run) => (await readJson(at(run, 'state.json'), steeringSchema))?.state ?? 'running',
    steer: (run, state) => writeJson(at(run, 'state.json'), { state }),
    end: (run) => readJson(at(run, 'end.json'), endSchema),
    writeEnd: (run, end) => writeJson(at(run, 'end.json'), end),
    note: (run, note) => writeJson(at(run, `rows/${note.row}.json`), note),
    hasNotes: async (run) => (await files.list(at(run, 'rows'))).length > 0,
    async notes(run) {
      const noted = new Set((await files.list(at(run, 'rows'))).map((name) => Number.parseInt(name, 10)));
      return async (row) => (noted.has(row) ? readJson(at(run, `rows/${row}.json`), noteSchema) : undefined);
    },
  };
}

const at = (run: string, name: string): string => `${folder}/${run}/${name}`;

/** A plan's place below the output. */
export const planName = (run: string): string => at(run, 'plan.jsonl');

/**
 * A row as a line of a plan with its end; its number stands first, so that it is found without reading the rest.
 * @returns also what of it is asked for: its line's number and what stands in its way are not, nor what is wrong with a row that isn't asked for
 */
export function planLine({ line, replaces, flaw, repeats, row, ...rest }: Row): {
  text: string;
  asked: string;
} {
  const asked = JSON.stringify({ row, ...rest });
  const more = JSON.stringify({ line, replaces, flaw, repeats });
  return { text: `${asked.slice(0, -1)},${more.slice(1)}\n`, asked };
}

/** The row of such a line. @throws Error when it is no row's */
export function readRow(line: Buffer | string): Row {
  const row = JSON.parse(String(line)) as Row;
  // A whole schema for each of a million rows would take as long as all the rest.
  const isRow =
    Number.isSafeInteger(row.row) &&
    typeof row.id === 'string' &&
    typeof row.prompt === 'string' &&
    typeof row.output === 'string' &&
    typeof row.columns === 'object' &&
    typeof row.selected === 'boolean' &&
    (row.route === 1 || row.route === 2) &&
    Array.isArray(row.pictures);
  if (!isRow) throw new Error('this is no row of a plan');
  return row;
}

function plannedRow({ from, bytes, whole }: Line): PlannedRow {
  const row = Number(/^\{"row":(\d+),/.exec(bytes.toString('latin1', 0, 20))?.[1]);
  if (!whole || !row) throw new SurroundingsError(damagedPlan);
  const read = (): Row => {
    try {
      return readRow(bytes);
    } catch (error) {
      throw new SurroundingsError(`row ${row}: ${damagedPlan}`, { cause: error });
    }
  };
  return { place: { row, from, length: bytes.length }, read };
}

const damagedPlan = 'the plan is cut off or damaged: it was not written by reshoot, or was changed since';

/**
 * A run's id: sorts by time to the millisecond, and may stand in a file name and in a job's id.
 * @param latest the run before it in its output: it sorts behind that one, also where the clock was set back since
 */
export function newRunId(now: Date, random: string, latest?: string): string {
  const time = new Date(Math.max(now.getTime(), timeOf(latest) + 1));
  return `r${time.toISOString().replaceAll(/[-:.Z]/g, '')}-${random}`;
}

/** When the run began, as its id tells it. @returns epoch milliseconds; 0 where that is no id of ours */
function timeOf(run = ''): number {
  const time = run.replace(/^r(.{4})(..)(..T..)(..)(..)(...)-.*$/, '$1-$2-$3:$4:$5.$6Z');
  return Date.parse(time) || 0;
}
