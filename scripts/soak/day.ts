import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exitCodes } from '../../src/errors.ts';
import { reshoot } from './processes.ts';

/** What became of a day. */
export interface Day {
  outputs: string[];
  rows: number;
  /** Rows by outcome, of the last run of each manifest. */
  outcomes: Record<string, number>;
  runs: number;
  /** How often runs ended with which exit code. */
  codes: Record<string, number>;
}

export interface DayOptions {
  dir: string;
  env: NodeJS.ProcessEnv;
  rows: number;
  hours: number;
  /** Called after each hour, when no run is on. */
  rest: () => Promise<void>;
  stop: AbortSignal;
}

const rushRows = 100;
/** The account was parked or the run stopped by a fault: whoever gave the run gives it again. */
const again = new Set<number | null>([exitCodes.account, exitCodes.halted]);
const ends = new Set<number | null>([exitCodes.ok, exitCodes.failedForGood, exitCodes.failedRetryable]);

/**
 * Hour after hour a catalogue, and small runs one after another beside it, which have an output together. Each has half
 * of the hour's rows, and every row is paid for.
 */
export async function liveDay(options: DayOptions): Promise<Day> {
  const { dir, env, rows, hours, rest, stop } = options;
  const day: Day = { outputs: [], rows: 0, outcomes: {}, runs: 0, codes: {} };

  /** Gives a manifest to the worker until its rows are done. @returns their outcomes */
  const give = async (manifest: string, output: string): Promise<Record<string, number>> => {
    const submitted = await reshoot(['submit', manifest, '-o', output, ...flags], dir, env, stop);
    if (submitted.code !== 0) throw new Error(`submit ended with ${submitted.code}: ${submitted.stderr}`);
    const run = submitted.stdout.trim();
    const { code, stdout, stderr } = await reshoot(['wait', run, '--json', '-q'], dir, env, stop);
    day.runs += 1;
    day.codes[String(code)] = (day.codes[String(code)] ?? 0) + 1;
    if (again.has(code)) return give(manifest, output);
    if (!ends.has(code)) throw new Error(`run ${run} ended with ${code}: ${stderr}${stdout}`);
    return (JSON.parse(stdout) as { rows: Record<string, number> }).rows;
  };

  const work = async (name: string, from: number, to: number, most: number): Promise<void> => {
    const output = join(dir, name);
    day.outputs.push(output);
    for (let first = from; first < to; first += most) {
      const count = Math.min(most, to - first);
      const manifest = join(dir, `${name}.csv`);
      await writeFile(manifest, table(first, count));
      const outcomes = await give(manifest, output);
      day.rows += count;
      for (const [outcome, times] of Object.entries(outcomes))
        day.outcomes[outcome] = (day.outcomes[outcome] ?? 0) + times;
    }
  };

  for (let hour = 0; hour < hours; hour++) {
    const [from, middle, to] = [0, 0.5, 1].map((part) => Math.round(((hour + part) * rows) / hours));
    await Promise.all([
      work(`catalogue-${hour}`, from ?? 0, middle ?? 0, Infinity),
      work(`rush-${hour}`, middle ?? 0, to ?? 0, rushRows),
    ]);
    await rest();
  }
  return day;
}

/** Hanging is one of the faults, so a call is given up soon; and no run may end over its retries. */
const flags = [
  '-y',
  '-q',
  '--size',
  '64x64',
  '--timeout',
  '10s',
  '--max-attempts',
  '6',
  '--retry-budget',
  '100%',
];

/** A row a prompt, so that every one is paid for. */
function table(from: number, rows: number): string {
  const lines = Array.from({ length: rows }, (_, i) => `p${from + i},product.png,scene ${from + i}`);
  return `${['id,image,prompt', ...lines].join('\n')}\n`;
}
