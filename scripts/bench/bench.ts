/**
 * Measures reshoot beside what people use instead, and beside what is physically possible: `npm run bench`.
 * `--only rates,bytes` measures some parts and keeps the figures of the others; `--scale` measures a million rows;
 * `--quick` is for trying, and writes nothing.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { platform, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { circumstances } from './machine.ts';
import { readFigures, terminalTable, writePage, type Figures, type Kept } from './page.ts';
import type { Part } from './part.ts';
import { bytes } from './parts/bytes.ts';
import { rates } from './parts/rates.ts';
import { scale } from './parts/scale.ts';
import { startPart } from './parts/start.ts';

/** In the order of the page. */
const parts: Part[] = [rates, bytes, startPart, scale];

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    scale: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
  },
});
if (platform() !== 'linux')
  throw new Error('the benchmark reads CPU and memory from /proc, which only Linux has');
const chosen = choose(values.scale ? scale.name : values.only);
const figures: Figures = values.quick ? {} : await readFigures();
for (const part of chosen) {
  const folder = await mkdtemp(join(tmpdir(), 'reshoot-bench-'));
  figures[part.name] = await measurePart(part, folder, values.quick);
  if (!values.quick) await writePage(parts, figures);
  // Millions of files take minutes to go.
  await rm(folder, { recursive: true });
}
process.stdout.write(`${terminalTable(parts, figures)}\n`);
if (!values.quick) process.stdout.write('\nWritten: docs/performance.md, docs/performance/\n');

function choose(only: string | undefined): Part[] {
  // A million rows take long, so that they are measured only when they are asked for.
  if (only === undefined) return parts.filter(({ name }) => name !== scale.name);
  const names = only.split(',');
  const unknown = names.find((name) => !parts.some((part) => part.name === name));
  if (unknown !== undefined) {
    throw new Error(
      `--only: there is no part ${unknown}; parts: ${parts.map(({ name }) => name).join(', ')}`,
    );
  }
  return parts.filter(({ name }) => names.includes(name));
}

async function measurePart(part: Part, folder: string, quick: boolean): Promise<Kept> {
  const before = circumstances();
  const started = performance.now();
  const figures = await part.run({ quick, folder, say });
  say(`${part.name}: ${Math.round((performance.now() - started) / 1000)} s`);
  return { circumstances: before, figures };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}
