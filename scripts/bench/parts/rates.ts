import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { contenders, physical, reshoot, type Contender } from '../contenders.ts';
import { drawSmall, writeManifest } from '../material.ts';
import { measure, type Usage } from '../measure.ts';
import type { Part, Plot, RunOptions, SummaryRow } from '../part.ts';
import { barPlot } from '../plot.ts';
import { startDesk, startPlainServer, startSimulator, type Call, type Desk } from '../servers.ts';
import { markdownTable, percent, seconds, times, whole } from '../words.ts';

const calls = 30;
/** The API's minute scaled down, and with it the pauses of all contenders. */
const windowMs = 20_000;
const latencyMs = 5000;
const minuteMs = 60_000;
const sizes = [30, 90, 300];
/** One of them is also measured unscaled, by reshoot alone. */
const unscaledRows = 90;
/** Between the starts of contenders that run side by side. */
const apartMs = 1500;

/** Do refused calls count in the window? The simulator is strict: they do. */
type Server = 'strict' | 'mild';
const servers: Server[] = ['strict', 'mild'];

interface Case {
  server: Server;
  rows: number;
  windowMs: number;
  latencyMs: number;
}

interface Outcome extends Case {
  contender: string;
  /** Rows with a picture in the output. */
  done: number;
  /** Calls that the server answered with a picture, and those it refused. */
  pictures: number;
  refusals: number;
  /** The command ended by itself. */
  ended: boolean;
  /** From the start of the command to its end. */
  ms: number;
  /** From the first call's arrival to the last picture; where rows have none, to the command's end. */
  busyMs: number;
  cpuMs: number;
  redis?: { operations: number; cpuMs: number };
}

interface Figures {
  outcomes: Outcome[];
}

export const rates: Part<Figures> = {
  name: 'rates',
  title: 'The limit: how much of it is used, and how often it is overstepped',
  run,
  render,
  plots: ({ outcomes }) => [usedPlot(outcomes), ...servers.map((server) => refusalPlot(outcomes, server))],
  summary,
};

async function run({ quick, folder, say }: RunOptions): Promise<Figures> {
  const picture = await drawSmall(join(folder, 'small.png'));
  const outcomes: Outcome[] = [];
  for (const rows of quick ? sizes.slice(0, 2) : sizes) {
    const runs = servers.flatMap((server) =>
      contenders.map((contender) => ({ contender, one: { server, rows, windowMs, latencyMs } })),
    );
    if (rows === sizes.at(-1)) runs.push({ contender: reshoot, one: unscaled });
    say(
      `${rows} rows, ${runs.length} runs side by side: at most ${Math.ceil(patienceMs(runs[0]?.one ?? unscaled) / 1000)} s`,
    );
    const ended = runs.map(({ contender, one }, n) =>
      runCase(contender, one, join(folder, `${rows}-${n}`), picture, n * apartMs),
    );
    outcomes.push(...(await Promise.all(ended)));
  }
  return { outcomes };
}

const unscaled: Case = {
  server: 'strict',
  rows: unscaledRows,
  windowMs: minuteMs,
  latencyMs: latencyMs * (minuteMs / windowMs),
};

/** Who has not ended after this long is stopped. */
const patienceMs = (one: Case): number => idealMs(one.rows, one) * 3 + minuteMs / 2;

async function runCase(
  contender: Contender,
  one: Case,
  folder: string,
  picture: string,
  delayMs: number,
): Promise<Outcome> {
  await mkdir(folder);
  const manifest = await writeManifest(folder, one.rows, picture);
  // Most of the time all of them wait, but not while they start.
  await sleep(delayMs);
  const { windowMs } = one;
  const limit = { calls, windowMs, latencyMs: one.latencyMs };
  const server = await (one.server === 'strict' ? startSimulator(limit) : startPlainServer(picture, limit));
  const desk = contender.redis ? await startDesk() : undefined;
  const job = { folder, manifest, apiUrl: server.url, redisUrl: desk?.url ?? '', limit: calls, windowMs };
  try {
    const usage = await measure(contender.command(job), { timeoutMs: patienceMs(one), everyMs: 1000 });
    return await outcomeOf(
      { ...one, contender: contender.name },
      usage,
      server.calls,
      join(folder, 'out'),
      desk,
    );
  } finally {
    await desk?.close();
    await server.close();
  }
}

async function outcomeOf(
  one: Case & { contender: string },
  { code, startedAt, ms, cpuMs }: Usage,
  seen: Call[],
  out: string,
  desk: Desk | undefined,
): Promise<Outcome> {
  const good = seen.filter(({ status }) => status === 200);
  const done = (await readdir(out)).filter((file) => /^r\d+\.\w+$/.test(file)).length;
  const lastAt = done < one.rows ? startedAt + ms : Math.max(...good.map(({ at, ms }) => at + ms));
  return {
    ...one,
    done,
    pictures: good.length,
    refusals: seen.filter(({ status }) => status === 429).length,
    ended: code !== null,
    ms,
    busyMs: lastAt - Math.min(...seen.map(({ at }) => at)),
    cpuMs,
    ...(desk && { redis: await desk.spent() }),
  };
}

/** No client can have so many pictures sooner at a limit that counts the calls of any window. */
function idealMs(pictures: number, { windowMs, latencyMs }: Pick<Case, 'windowMs' | 'latencyMs'>): number {
  return (Math.ceil(pictures / calls) - 1) * windowMs + latencyMs;
}

const used = (outcome: Outcome): number => idealMs(outcome.done, outcome) / outcome.busyMs;
const missing = ({ rows, done }: Outcome): number => rows - done;
const timeOf = ({ ended, ms }: Outcome): string => (ended ? seconds(ms) : `stopped after ${seconds(ms)}`);

function scaled(outcomes: Outcome[], server: Server, rows?: number): Outcome[] {
  return outcomes.filter(
    (one) => one.windowMs === windowMs && one.server === server && (rows === undefined || one.rows === rows),
  );
}

function render({ outcomes }: Figures): string {
  const real = outcomes.find((outcome) => outcome.windowMs === minuteMs);
  const ideals = sizes.map((rows) => `${seconds(idealMs(rows, { windowMs, latencyMs }))} for ${rows} rows`);
  return `A window of ${windowMs / 1000} s takes ${calls} calls, and each call ${latencyMs / 1000} s. The ideal is ${ideals.join(', ')}.

A server that counts refused calls too (the simulator):

${outcomeTable(scaled(outcomes, 'strict'))}

A server that doesn't:

${outcomeTable(scaled(outcomes, 'mild'))}

![Share of the limit that is used](performance/limit-used.svg)

![Calls refused where refused calls count](performance/refusals-strict.svg)

![Calls refused where they don't](performance/refusals-mild.svg)

${real ? `${realText(real)}\n\n` : ''}What they ask of Redis, at ${most(outcomes)} rows and the strict server, waiting included:

${redisTable(scaled(outcomes, 'strict', most(outcomes)))}`;
}

function outcomeTable(outcomes: Outcome[]): string {
  const head = [
    'contender',
    'rows',
    'limit used',
    'refusals',
    'without a picture',
    'time',
    'of the ideal',
    'CPU',
  ];
  const rows = outcomes.map((outcome) => [
    outcome.contender,
    whole(outcome.rows),
    percent(used(outcome)),
    whole(outcome.refusals),
    whole(missing(outcome)),
    timeOf(outcome),
    outcome.ended ? times(outcome.ms, idealMs(outcome.rows, outcome)) : '',
    seconds(outcome.cpuMs),
  ]);
  return markdownTable(head, rows);
}

function realText(real: Outcome): string {
  return `Unscaled, with a window of 60 s and ${real.latencyMs / 1000} s a call, reshoot used ${percent(used(real))} of the limit for ${
    real.rows
  } rows, was refused ${real.refusals} times and took ${timeOf(real)} (ideal: ${seconds(idealMs(real.rows, real))}).`;
}

function redisTable(outcomes: Outcome[]): string {
  const own = outcomes.find(({ contender }) => contender === reshoot.name)?.redis;
  const rows = outcomes.flatMap(({ contender, rows, redis }) => (redis ? [{ contender, rows, redis }] : []));
  return markdownTable(
    ['contender', 'Redis operations a row', 'of reshoot', "Redis' CPU a row"],
    rows.map(({ contender, rows, redis }) => [
      contender,
      whole(redis.operations / rows),
      times(redis.operations, own?.operations ?? Number.NaN),
      `${(redis.cpuMs / rows).toFixed(1)} ms`,
    ]),
  );
}

const most = (outcomes: Outcome[]): number => Math.max(...outcomes.map(({ rows }) => rows));

function summary({ outcomes }: Figures): SummaryRow[] {
  const largest = most(outcomes);
  const line = (what: string, found: Outcome[], value: (one: Outcome) => string, ideal = ''): SummaryRow => ({
    what,
    values: {
      ...Object.fromEntries(found.map((outcome) => [outcome.contender, value(outcome)])),
      [physical]: ideal,
    },
  });
  const lines = (
    what: string,
    value: (one: Outcome) => string,
    ideal: (rows: number) => string,
  ): SummaryRow[] =>
    sizes
      .filter((rows) => rows <= largest)
      .map((rows) => line(`${what}, ${rows} rows`, scaled(outcomes, 'strict', rows), value, ideal(rows)));
  const refusals = ({ refusals }: Outcome): string => whole(refusals);
  const time = ({ ended, ms }: Outcome): string => (ended ? seconds(ms) : 'stopped');
  const mild = scaled(outcomes, 'mild', largest);
  const strict = scaled(outcomes, 'strict', largest);
  return [
    ...lines(
      'limit used',
      (one) => percent(used(one)),
      () => '100 %',
    ),
    line(`limit used, ${largest} rows, mild server`, mild, (one) => percent(used(one)), '100 %'),
    ...lines('refusals', refusals, () => '0'),
    line(`refusals, ${largest} rows, mild server`, mild, refusals, '0'),
    ...lines('time', time, (rows) => seconds(idealMs(rows, { windowMs, latencyMs }))),
    line(`rows without a picture, ${largest} rows`, strict, (one) => whole(missing(one)), '0'),
    line(`Redis operations a row, ${largest} rows`, strict, ({ redis, rows }) =>
      redis ? whole(redis.operations / rows) : 'none',
    ),
  ];
}

const labels = contenders.map(({ name }) => name);

/** A value for each contender. */
function values(outcomes: Outcome[], value: (outcome: Outcome) => number): (number | undefined)[] {
  return labels.map((label) => {
    const found = outcomes.find(({ contender }) => contender === label);
    return found && value(found);
  });
}

function usedPlot(outcomes: Outcome[]): Plot {
  const rows = most(outcomes);
  return barPlot({
    name: 'limit-used',
    title: `Share of the limit that is used, ${rows} rows`,
    unit: '% of the fastest possible (more is better)',
    labels,
    series: servers.map((server) => ({
      name: server === 'strict' ? 'refused calls count' : "refused calls don't count",
      values: values(scaled(outcomes, server, rows), (one) => Math.round(used(one) * 1000) / 10),
    })),
  });
}

function refusalPlot(outcomes: Outcome[], server: Server): Plot {
  return barPlot({
    name: `refusals-${server}`,
    title: `Calls refused with 429, where refused calls ${server === 'strict' ? 'count too' : "don't count"}`,
    unit: 'calls (fewer is better)',
    labels,
    series: sizes.map((rows) => ({
      name: `${rows} rows`,
      values: values(scaled(outcomes, server, rows), ({ refusals }) => refusals),
    })),
  });
}
