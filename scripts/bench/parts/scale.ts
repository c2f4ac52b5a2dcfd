import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { makeFinished, makeManifests, type Manifests } from '../catalogue.ts';
import { measure, type Usage } from '../measure.ts';
import type { Part, RunOptions } from '../part.ts';
import { startDesk, startSimulator, type Desk, type Server } from '../servers.ts';
import { markdownTable, megabytes, percent, seconds, whole } from '../words.ts';

const sizes = [100_000, 1_000_000];
const patienceMs = 30 * 60_000;
const bin = fileURLToPath(new URL('../../../dist/src/bin.js', import.meta.url));

/** What reshoot may take at most, however many rows there are. */
const promised = { processMb: 300, redisMb: 50, resumeMs: 60_000 };

const resume = 'resume when all is done (run)';

interface Stage {
  rows: number;
  what: string;
  ms: number;
  cpuMs: number;
  /** Of the largest of its processes. */
  peakMb: number;
}

interface Size {
  rows: number;
  /** Of Redis, after the plan and the finished run. */
  redisMb: number;
  /** That reached the API while the finished rows were resumed. */
  calls: number;
}

interface Figures {
  stages: Stage[];
  sizes: Size[];
}

export const scale: Part<Figures> = { name: 'scale', title: 'A million rows', run, render };

async function run({ quick, folder, say }: RunOptions): Promise<Figures> {
  const figures: Figures = { stages: [], sizes: [] };
  const scenes: Scene[] = [];
  try {
    for (const rows of quick ? [10_000] : sizes) {
      say(`scale: ${whole(rows)} rows, their pictures and a finished output are made`);
      scenes.push(await makeScene(join(folder, String(rows)), rows));
    }
    say('scale: measuring begins');
    for (const scene of scenes) await measureScene(scene, figures, say);
  } finally {
    for (const { desk, api } of scenes) await Promise.all([desk.close(), api.close()]);
  }
  return figures;
}

/** A finished output of so many rows, and what its runs need. */
interface Scene {
  rows: number;
  place: string;
  manifests: Manifests;
  api: Server;
  desk: Desk;
}

async function makeScene(place: string, rows: number): Promise<Scene> {
  const manifests = makeManifests(place, rows);
  const api = await startSimulator({ calls: 1000, windowMs: 60_000, latencyMs: 1 });
  const desk = await startDesk();
  await makeFinished(manifests, join(place, 'out'), rows, api.url);
  return { rows, place, manifests, api, desk };
}

async function measureScene(
  { rows, place, manifests, api, desk }: Scene,
  figures: Figures,
  say: RunOptions['say'],
): Promise<void> {
  const env = {
    SPIDERHUBS_API_KEY: 'sk_live_bench',
    SPIDERHUBS_BASE_URL: api.url,
    REDIS_URL: desk.url,
    RESHOOT_STATE_DIR: join(place, 'state'),
  };
  for (const [what, args, codes] of commandsOn(manifests)) {
    const name = what.replaceAll(/\W+/g, '-');
    const cwd = join(place, 'log', name);
    await mkdir(cwd, { recursive: true });
    // Else what was submitted would be worked on as well.
    const command = {
      args: [process.execPath, bin, ...args],
      env: { ...env, RESHOOT_NAMESPACE: name },
      cwd,
    };
    const usage = await measure(command, { timeoutMs: patienceMs, everyMs: 100 });
    if (usage.code === null || !codes.includes(usage.code))
      throw new Error(`${what}, ${rows} rows: exit ${usage.code}; see ${join(cwd, 'log')}`);
    figures.stages.push(stageOf(rows, what, usage));
    say(
      `scale: ${whole(rows)}: ${what}: ${seconds(usage.ms)}, ${megabytes(usage.processes[0]?.peakMb ?? 0)}`,
    );
  }
  figures.sizes.push({ rows, redisMb: await peakOf(desk.url), calls: api.calls.length });
}

/** What is measured, its arguments, and how it may end. */
function commandsOn({
  folder,
  csv,
  repriced,
  jsonl,
  wrong,
  pictures,
}: Manifests): [string, string[], number[]][] {
  const out = join(folder, 'out');
  const quiet = ['--yes', '--quiet'];
  return [
    ['check, CSV', ['check', csv], [0]],
    ['check, JSON Lines', ['check', jsonl], [0]],
    ['check, a folder of pictures', ['check', pictures, '--prompt', 'on white'], [0]],
    ['check, every row wrong twice', ['check', wrong], [2]],
    ['check against the finished output', ['check', csv, '-o', out], [0]],
    ['check and plan (submit)', ['submit', csv, '-o', join(folder, 'new'), ...quiet], [0]],
    [resume, ['run', csv, '-o', out, ...quiet], [0]],
    ['report', ['report', out], [0]],
    ['the same with a new price in every row (run)', ['run', repriced, '-o', out, ...quiet], [0]],
  ];
}

function stageOf(rows: number, what: string, { ms, cpuMs, processes }: Usage): Stage {
  return { rows, what, ms, cpuMs, peakMb: processes[0]?.peakMb ?? 0 };
}

/** The most that Redis ever had, in MB of 10^6 bytes. */
async function peakOf(url: string): Promise<number> {
  const redis = new Redis(url);
  const peak = /used_memory_peak:(\d+)/.exec(await redis.info('memory'))?.[1];
  redis.disconnect();
  return Number(peak) / 1e6;
}

function render({ stages, sizes }: Figures): string {
  const names = [...new Set(stages.map(({ what }) => what))];
  const counts = sizes.map(({ rows }) => rows);
  const head = ['', ...counts.flatMap((rows) => [`${whole(rows)} rows`, 'CPU', 'peak'])];
  const figuresOf = (name: string, rows: number): string[] => {
    const stage = stages.find((one) => one.what === name && one.rows === rows);
    return stage ? [seconds(stage.ms), seconds(stage.cpuMs), megabytes(stage.peakMb)] : ['', '', ''];
  };
  const table = names.map((name) => [name].concat(counts.flatMap((rows) => figuresOf(name, rows))));
  const most = Math.max(...stages.map(({ peakMb }) => peakMb));
  const redis = Math.max(...sizes.map(({ redisMb }) => redisMb));
  const calls = sizes.reduce((sum, size) => sum + size.calls, 0);
  const resumed = stages.findLast(({ what }) => what === resume);
  return [
    markdownTable(head, table),
    '',
    markdownTable(
      ['at most', 'allowed', 'measured', 'of it'],
      [
        [
          'memory of a process',
          megabytes(promised.processMb),
          megabytes(most),
          percent(most / promised.processMb),
        ],
        ['memory of Redis', megabytes(promised.redisMb), megabytes(redis), percent(redis / promised.redisMb)],
        [
          `time to resume ${whole(resumed?.rows ?? 0)} finished rows`,
          seconds(promised.resumeMs),
          seconds(resumed?.ms ?? 0),
          percent((resumed?.ms ?? 0) / promised.resumeMs),
        ],
        ['calls made while resuming', '0', whole(calls), ''],
      ],
    ),
  ].join('\n');
}
