import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { contenders, floor, physical, reshoot, type Contender } from '../contenders.ts';
import { drawSmall, writeManifest } from '../material.ts';
import { kill, start, type Started } from '../measure.ts';
import type { Part, RunOptions, SummaryRow } from '../part.ts';
import { startDesk, startSimulator } from '../servers.ts';
import { markdownTable, median, seconds, times, whole } from '../words.ts';

const sizes = [30, 12_000];
const repeats = 5;
const patienceMs = 60_000;
/** reshoot with a Redis that already runs, as the other contenders have one. */
const withRedis: Contender = { ...reshoot, name: 'reshoot, Redis running' };
const alone: Contender = { ...reshoot, redis: false };
const starters = [alone, withRedis, ...contenders.filter(({ name }) => name !== reshoot.name), floor];

interface Measurement {
  contender: string;
  rows: number;
  /** From the start of the command to the arrival of its first call. */
  ms: number;
}

interface Figures {
  measurements: Measurement[];
}

export const startPart: Part<Figures> = {
  name: 'start',
  title: 'From the command to the first call',
  run,
  render,
  summary,
};

async function run({ quick, folder, say }: RunOptions): Promise<Figures> {
  const picture = await drawSmall(join(folder, 'small.png'));
  const measurements: Measurement[] = [];
  for (const rows of sizes) {
    say(`start with ${rows} rows, ${starters.length} contenders one by one, ${quick ? 1 : repeats} times`);
    const material = join(folder, String(rows));
    await mkdir(material);
    const manifest = await writeManifest(material, rows, picture);
    for (let turn = 0; turn < (quick ? 1 : repeats); turn++) {
      // The floor makes all calls at once, of which a system has not so many.
      for (const contender of starters.filter(({ name }) => rows === sizes[0] || name !== floor.name)) {
        const ms = await untilFirstCall(contender, manifest, join(folder, 'job'));
        measurements.push({ contender: contender.name, rows, ms });
      }
    }
  }
  return { measurements };
}

async function untilFirstCall(contender: Contender, manifest: string, folder: string): Promise<number> {
  await mkdir(folder);
  const server = await startSimulator({ calls: 1_000_000, windowMs: 60_000, latencyMs: 1 });
  const desk = contender.redis ? await startDesk() : undefined;
  const job = {
    folder,
    manifest,
    apiUrl: server.url,
    redisUrl: desk?.url ?? '',
    limit: 30,
    windowMs: 60_000,
  };
  const started = await start(contender.command(job));
  try {
    const late = sleep(patienceMs, undefined, { ref: false });
    const first = await Promise.race([server.first, late]);
    if (!first) throw new Error(`${contender.name} made no call within ${patienceMs / 1000} s`);
    return first.at - started.at;
  } finally {
    await end(started);
    await desk?.close();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** By SIGINT first, so that reshoot takes its private Redis with it. */
async function end(started: Started): Promise<void> {
  process.kill(-started.pid, 'SIGINT');
  await Promise.race([started.ended, sleep(20_000, undefined, { ref: false })]);
  kill(started);
  await started.ended;
}

function typical({ measurements }: Figures, name: string, rows: number): number | undefined {
  const own = measurements.filter((one) => one.contender === name && one.rows === rows);
  return own.length === 0 ? undefined : median(own, ({ ms }) => ms).ms;
}

function render(figures: Figures): string {
  const head = ['contender', ...sizes.flatMap((rows) => [`${whole(rows)} rows`, 'of reshoot'])];
  const rows = starters.map(({ name }) => [
    name,
    ...sizes.flatMap((rows) => {
      const ms = typical(figures, name, rows);
      return ms === undefined
        ? ['', '']
        : [seconds(ms), times(ms, typical(figures, reshoot.name, rows) ?? NaN)];
    }),
  ]);
  return markdownTable(head, rows);
}

function summary(figures: Figures): SummaryRow[] {
  return sizes.map((rows) => ({
    what: `start to first call, ${whole(rows)} rows`,
    values: Object.fromEntries(
      starters.flatMap(({ name }) => {
        const ms = typical(figures, name, rows);
        return ms === undefined ? [] : [[name === floor.name ? physical : name, seconds(ms)]];
      }),
    ),
  }));
}
