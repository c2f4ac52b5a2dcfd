import { expect } from 'vitest';
import { playHistory } from './history.ts';

/** More of them: `SIMULATION_SEEDS=1..5000`; one of them again: `SIMULATION_SEEDS=42`. */
const asked = process.env['SIMULATION_SEEDS'] ?? '';
const [from = 1, to = asked === '' ? 60 : from] = asked.split('..').filter(Boolean).map(Number);
/** Histories that once went wrong. */
const foundBefore = [97, 125, 238, 1194, 1406, 1992, 4747, 6661];
const seeds = [
  ...(asked === '' ? foundBefore : []),
  ...Array.from({ length: to - from + 1 }, (_, i) => from + i),
];
/** A file plays the even ones and another the odd, for two processors; one alone is played by both. */
const ofParity = (parity: 0 | 1): number[] =>
  seeds.length === 1 ? seeds : seeds.filter((seed) => seed % 2 === parity);

/** Plays a history; one that goes wrong is played once more, and told. */
async function play(seed: number): Promise<Awaited<ReturnType<typeof playHistory>>> {
  try {
    return await playHistory(seed);
  } catch (error) {
    const lines: string[] = [];
    const again = await playHistory(seed, (line) => lines.push(line)).then(
      () => 'nothing: it is not decided by its seed',
      (reason: unknown) => String(reason),
    );
    const told = lines.slice(-Number(process.env['SIMULATION_LINES'] ?? 200)).join('\n');
    throw new Error(
      `history ${seed} went wrong: ${String(error)}\n${told}\nand once more: ${again}\n` +
        `Replay it, and say how many of its last lines: ` +
        `SIMULATION_SEEDS=${seed} SIMULATION_LINES=5000 npx vitest run --project simulation`,
      { cause: error },
    );
  }
}

/** Plays the histories of half the seeds. */
export async function playHistories(parity: 0 | 1): Promise<void> {
  const mine = ofParity(parity);
  const before = process.cpuUsage().user;
  const all = { calls: 0, points: 0, deaths: 0, virtualMs: 0 };
  for (const seed of mine) {
    const played = await play(seed);
    for (const what of ['calls', 'points', 'deaths', 'virtualMs'] as const) all[what] += played[what];
  }
  const ms = (process.cpuUsage().user - before) / 1000;
  if (asked !== '')
    process.stdout.write(
      `${mine.length} histories in ${Math.round(ms)} ms of processor time: ${all.calls} calls, ` +
        `${all.points} questions, ${all.deaths} deaths, ${Math.round(all.virtualMs / 3_600_000)} h; ` +
        `${Math.round((mine.length / ms) * 60_000)} a minute\n`,
    );
  // A single history may well be a peaceful one.
  if (mine.length >= 30) {
    expect(all.calls).toBeGreaterThan(mine.length);
    expect(all.deaths).toBeGreaterThan(mine.length);
  }
}

/** Milliseconds that the histories of half the seeds take at most. */
export const longestMs = 60_000 + seeds.length * 1000;
