import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { bullmq, floor, parallel, physical, reshoot, script, type Contender } from '../contenders.ts';
import { drawNoise, drawSmall, writeManifest } from '../material.ts';
import { measure } from '../measure.ts';
import type { Part, RunOptions, SummaryRow } from '../part.ts';
import { barPlot } from '../plot.ts';
import type { Seen } from '../proc.ts';
import { startDesk, startPlainServer } from '../servers.ts';
import { markdownTable, median, megabytes, seconds, times, whole } from '../words.ts';

const calls = 40;
const repeats = 3;
const contenders = [reshoot, bullmq, script, parallel, floor];
/** So many calls in a minute that it hinders nobody. */
const noLimit = 1_000_000;

type Load = 'answers' | 'uploads';
/** What each is called, and how large. */
const loads = {
  answers: { title: `${calls} answers of 16 MB`, bytes: 16_000_000 },
  uploads: { title: `${calls} uploads of 8 MB`, bytes: 8_000_000 },
} satisfies Record<Load, unknown>;
const loadNames: Load[] = ['answers', 'uploads'];

interface Measurement {
  contender: string;
  load: Load;
  /** Pictures in the output that are as large as they should be. */
  whole: number;
  ms: number;
  cpuMs: number;
  peakMb: number;
  processes: Seen[];
}

interface Figures {
  measurements: Measurement[];
  /** Exact sizes of the pictures. */
  bytes: Record<Load, number>;
  /** A process of Node that does nothing. */
  nodeMb: number;
}

export const bytes: Part<Figures> = {
  name: 'bytes',
  title: 'Large pictures: CPU and memory',
  run,
  render,
  plots: ({ measurements }) => [memoryPlot(measurements), cpuPlot(measurements)],
  summary,
};

async function run({ quick, folder, say }: RunOptions): Promise<Figures> {
  const small = await drawSmall(join(folder, 'small.png'));
  const large = {
    answers: await drawNoise(join(folder, 'answer.png'), loads.answers.bytes),
    uploads: await drawNoise(join(folder, 'upload.png'), loads.uploads.bytes),
  };
  const measurements: Measurement[] = [];
  for (const load of loadNames) {
    say(`${loads[load].title}, ${contenders.length} contenders one by one, ${quick ? 1 : repeats} times`);
    const [answer, input] = load === 'answers' ? [large.answers, small] : [small, large.uploads];
    // In turns, so that a noisy moment of the machine is not one contender's alone.
    for (let turn = 0; turn < (quick ? 1 : repeats); turn++) {
      for (const contender of contenders) {
        const own = join(folder, 'job');
        measurements.push(await runOnce(contender, load, own, answer, input));
        await rm(own, { recursive: true });
      }
    }
  }
  const sizes = { answers: (await stat(large.answers)).size, uploads: (await stat(large.uploads)).size };
  return { measurements, bytes: sizes, nodeMb: await idleNode(folder) };
}

async function runOnce(
  contender: Contender,
  load: Load,
  folder: string,
  answer: string,
  input: string,
): Promise<Measurement> {
  await mkdir(folder);
  const manifest = await writeManifest(folder, calls, input, true);
  const server = await startPlainServer(answer);
  const desk = contender.redis ? await startDesk() : undefined;
  try {
    const common = { folder, manifest, apiUrl: server.url, redisUrl: desk?.url ?? '' };
    const job = { ...common, limit: noLimit, windowMs: 60_000, atOnce: calls };
    const usage = await measure(contender.command(job), { timeoutMs: 300_000, everyMs: 25 });
    if (usage.code !== 0)
      throw new Error(`${contender.name} ended with ${usage.code}; see ${join(folder, 'log')}`);
    const { ms, cpuMs, peakMb, processes } = usage;
    const complete = await countWhole(join(folder, 'out'), (await stat(answer)).size);
    return { contender: contender.name, load, whole: complete, ms, cpuMs, peakMb, processes };
  } finally {
    await desk?.close();
    await server.close();
  }
}

async function countWhole(out: string, size: number): Promise<number> {
  const names = (await readdir(out)).filter((name) => /^r\d+\.\w+$/.test(name));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(out, name))).size));
  return sizes.filter((found) => found === size).length;
}

async function idleNode(folder: string): Promise<number> {
  const cwd = join(folder, 'idle');
  const args = [process.execPath, '-e', 'setTimeout(() => {}, 300)'];
  await mkdir(cwd);
  return (await measure({ args, env: {}, cwd }, { timeoutMs: 10_000, everyMs: 25 })).peakMb;
}

/** Of each contender the run with the middle CPU time. */
function typical(measurements: Measurement[], load: Load): Measurement[] {
  return contenders.map(({ name }) =>
    median(
      measurements.filter((one) => one.load === load && one.contender === name),
      ({ cpuMs }) => cpuMs,
    ),
  );
}

function render({ measurements, bytes, nodeMb }: Figures): string {
  const sections = loadNames.map((load) => {
    const rows = typical(measurements, load);
    const own = rows.find(({ contender }) => contender === reshoot.name);
    const head = ['contender', 'peak memory', 'of reshoot', 'CPU', 'of reshoot', 'time', 'whole pictures'];
    return `**${loads[load].title}** (${whole(bytes[load])} bytes each):

${markdownTable(
  head,
  rows.map((row) => [
    row.contender,
    megabytes(row.peakMb),
    times(row.peakMb, own?.peakMb ?? Number.NaN),
    seconds(row.cpuMs),
    times(row.cpuMs, own?.cpuMs ?? Number.NaN),
    seconds(row.ms),
    whole(row.whole),
  ]),
)}

${sharesText(own)}`;
  });
  return `${sections.join('\n\n')}

A process of Node that does nothing has ${megabytes(nodeMb)}.

![Peak memory](performance/memory.svg)

![CPU](performance/cpu.svg)`;
}

/** reshoot is two processes, and the second is work that no baseline does. */
function sharesText(own: Measurement | undefined): string {
  const shares = own?.processes.map(
    ({ name, cpuMs, peakMb }) => `\`${name}\` ${seconds(cpuMs)} and ${megabytes(peakMb)}`,
  );
  return `reshoot's processes, each at its own peak: ${shares?.join('; ')}.`;
}

function summary({ measurements }: Figures): SummaryRow[] {
  const line = (what: string, load: Load, value: (one: Measurement) => string): SummaryRow => ({
    what: `${what}, ${loads[load].title}`,
    values: Object.fromEntries(
      typical(measurements, load).map((one) => [
        one.contender === floor.name ? physical : one.contender,
        value(one),
      ]),
    ),
  });
  return [
    ...loadNames.map((load) => line('peak memory', load, ({ peakMb }) => megabytes(peakMb))),
    ...loadNames.map((load) => line('CPU', load, ({ cpuMs }) => seconds(cpuMs))),
  ];
}

function grouped(measurements: Measurement[], value: (one: Measurement) => number) {
  return {
    labels: contenders.map(({ name }) => name),
    series: loadNames.map((load) => ({
      name: loads[load].title,
      values: typical(measurements, load).map(value),
    })),
  };
}

const memoryPlot = (measurements: Measurement[]) =>
  barPlot({
    name: 'memory',
    title: 'Peak memory of all processes together',
    unit: 'MB (less is better)',
    ...grouped(measurements, ({ peakMb }) => Math.round(peakMb)),
  });

const cpuPlot = (measurements: Measurement[]) =>
  barPlot({
    name: 'cpu',
    title: 'CPU time of all processes together',
    unit: 's (less is better)',
    ...grouped(measurements, ({ cpuMs }) => Math.round(cpuMs / 10) / 100),
  });
