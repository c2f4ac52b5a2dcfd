/**
 * A compressed day: `npm run soak`. A worker makes 43,200 calls in half an hour, run after run, and every fault that the
 * simulator has strikes: 2 % of the calls together. Memory, handles and the keys in Redis are sampled; after a quarter
 * to warm up none may grow. Ends with 1 where one does, or where the books don't agree. Linux only, for it reads /proc.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { version } from '../src/config.ts';
import { toError } from '../src/errors.ts';
import { checkBooks, type Check } from './soak/books.ts';
import { whileResting, whileWorking } from './soak/bounds.ts';
import { liveDay, type Day } from './soak/day.ts';
import { checkGone } from './soak/gone.ts';
import { checkList, trendTable } from './soak/result.ts';
import { startSampler, type Sampler } from './soak/sampler.ts';
import { setStage, type Stage } from './soak/stage.ts';
import { thinned, trendOf, type Bound, type Sample, type Trend } from './soak/trend.ts';

const wholeDay = { calls: 43_200, minutes: 30, hours: 24 };
const leastHours = 6;
/** What of the limit is used: the rest are the guard, the rests, and the pauses that faults make. */
const use = 0.7;
const warmUp = 0.25;
const mostPoints = 200;
const resultFile = fileURLToPath(new URL('../dist/soak.json', import.meta.url));

const order = readOptions();
const dir = await mkdtemp(join(tmpdir(), 'reshoot-soak-'));
const stop = new AbortController();
let interrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    interrupted = true;
    stop.abort(new Error(`stopped by ${signal}`));
  });
}
let passed = false;
try {
  passed = await soak();
} catch (error) {
  say(`The soak broke off: ${toError(error).message}`);
} finally {
  if (passed || interrupted) await rm(dir, { recursive: true, force: true });
  else say(`What it wrote is kept in ${dir}`);
}
if (!passed) process.exitCode = 1;

/** Half of the options says the other half, so that the rate stays a whole day's. */
function readOptions(): { calls: number; minutes: number } {
  const { values } = parseArgs({ options: { calls: { type: 'string' }, minutes: { type: 'string' } } });
  const { calls, minutes } = { calls: numberOf(values.calls), minutes: numberOf(values.minutes) };
  const share =
    calls !== undefined ? calls / wholeDay.calls : (minutes ?? wholeDay.minutes) / wholeDay.minutes;
  return {
    calls: calls ?? Math.round(share * wholeDay.calls),
    minutes: minutes ?? share * wholeDay.minutes,
  };
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!(Number(text) > 0)) throw new Error(`"${text}": --calls and --minutes want a number above 0`);
  return Number(text);
}

async function soak(): Promise<boolean> {
  const { calls, minutes } = order;
  const startedAt = new Date().toISOString();
  const stage = await setStage(dir, calls / minutes / use);
  const sampler = startSampler(dir, stage, minutes, tell);
  try {
    say(`${calls} rows in about ${minutes.toFixed(1)} minutes; the limit is ${stage.rate}`);
    say(`Faults: ${stage.faults}`);
    const workerGone = new Promise<never>((_, reject) => {
      stage.worker.child.once('exit', (code) =>
        reject(new Error(`the worker ended with ${code} in the middle`)),
      );
    });
    const hours = Math.min(wholeDay.hours, Math.max(leastHours, Math.round(minutes)));
    const { env } = stage;
    const lived = liveDay({ dir, env, rows: calls, hours, rest: sampler.rest, stop: stop.signal });
    const day = await Promise.race([lived, sampler.failed, workerGone]);
    await sampler.stop();
    return await conclude(startedAt, day, stage, sampler);
  } finally {
    // Commands that are still on have nobody to wait for any more.
    stop.abort();
    await sampler.stop().catch(() => undefined);
    await stage.close();
  }
}

async function conclude(startedAt: string, day: Day, stage: Stage, sampler: Sampler): Promise<boolean> {
  const slopes = {
    working: trendsOf(sampler.working, whileWorking),
    resting: trendsOf(sampler.resting, whileResting),
  };
  const left = await checkGone(dir, stage);
  const checks: Check[] = [...(await checkBooks(day, stage.simulator.tally)), ...left.checks];
  const trends = [...slopes.working, ...slopes.resting];
  const passed = checks.every(({ holds }) => holds) && trends.every(({ grows }) => !grows);
  const minutes = (sampler.working.at(-1)?.s ?? 0) / 60;
  const { tally } = stage.simulator;
  say(`\n${tally.calls} calls in ${minutes.toFixed(1)} minutes, ${day.runs} runs. After the first quarter`);
  say(`while it worked:\n${trendTable(slopes.working)}`);
  say(`at rest, after each hour:\n${trendTable(slopes.resting)}`);
  say(`At the end:\n${checkList(checks)}`);
  say(`What stays in Redis when nothing is left to do:\n${left.keys}`);
  say(passed ? '\nNothing grows.' : '\nThis soak failed.');
  const result = {
    started_at: startedAt,
    version,
    node: process.version,
    cpus: cpus().length,
    minutes,
    rate: stage.rate,
    faults: stage.faults,
    passed,
    simulator: tally,
    day: { runs: day.runs, exit_codes: day.codes, rows: day.rows, outcomes: day.outcomes },
    slopes,
    checks,
    working: thinned(sampler.working, mostPoints),
    resting: sampler.resting,
  };
  await mkdir(dirname(resultFile), { recursive: true });
  await writeFile(resultFile, `${JSON.stringify(result, null, 1)}\n`);
  say(`The figures: ${resultFile}`);
  return passed;
}

function trendsOf(samples: Sample[], bounds: Bound[]): Trend[] {
  const settled = samples.slice(Math.floor(samples.length * warmUp));
  return bounds.flatMap((bound) => trendOf(settled, bound) ?? []);
}

function tell(sample: Sample): void {
  const {
    s,
    calls,
    rss_mb: rss = 0,
    heap_mb: heap = 0,
    files,
    redis_lasting_keys: keys,
    redis_mb: redis = 0,
  } = sample;
  const memory = `${rss.toFixed(0)} MB resident, ${heap.toFixed(1)} MB heap, ${files} files`;
  say(`${(s / 60).toFixed(1)} min: ${calls} calls; ${memory}; Redis ${keys} keys, ${redis.toFixed(1)} MB`);
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
