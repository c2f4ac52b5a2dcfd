import { hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { finishRun } from '../../src/batch/finish.ts';
import { spoolFiles } from '../../src/batch/keep.ts';
import { openOutput, type Output } from '../../src/batch/output.ts';
import { exitCodes } from '../../src/errors.ts';
import { planLine } from '../../src/records/runs.ts';
import { callOf, endings, picture } from '../fixtures/call.ts';
import { rowOf } from '../fixtures/row.ts';

let out: string;
beforeEach(async () => {
  out = await mkdtemp(join(tmpdir(), 'reshoot-finish-'));
});
afterEach(() => rm(out, { recursive: true, force: true }));

/** A run of which nothing is left to do but its end. */
async function settledRun({ runs }: Output, run: string, rows: number): Promise<void> {
  const all = Array.from({ length: rows }, (_, i) => rowOf(i + 1, { output: `${i}.{ext}` }));
  await runs.writePlan(
    run,
    all.map((row) => planLine(row).text),
  );
  for (const { row } of all)
    await runs.note(run, { row, status: 'failed', error_code: 'input_missing', sources: [] });
  await runs.write({
    v: 1,
    run,
    manifest: 'goods.csv',
    origin: 'https://api.example',
    started_at: '2026-11-01T10:00:00.000Z',
    plan: run,
    rows,
    columns: [],
    max_attempts: 4,
    retry_budget: 10,
    timeout_ms: 1000,
    force: false,
  });
}

it("a process that slept over a run's end leaves the report of the run after it", async () => {
  const output = await openOutput(out);
  const { storage } = output;
  await settledRun(output, 'r1', 1);
  let [fall, wake] = [(): void => undefined, (): void => undefined];
  const asleep = new Promise<void>((resolve) => (fall = resolve));
  const awake = new Promise<void>((resolve) => (wake = resolve));
  const write: typeof storage.write = async (name, content) => {
    if (name.startsWith('report/')) {
      fall();
      await awake;
    }
    return storage.write(name, content);
  };
  const ended = finishRun({ ...output, storage: { ...storage, write } }, 'r1', undefined);
  await asleep;
  await finishRun(output, 'r1', undefined);
  await settledRun(output, 'r2', 2);
  await finishRun(output, 'r2', undefined);
  wake();
  await ended;
  const results = await readFile(join(out, 'report/results.jsonl'), 'utf8');
  expect(results.trim().split('\n')).toHaveLength(2);
  expect(JSON.parse(await readFile(join(out, 'report/summary.json'), 'utf8'))).toMatchObject({ run: 'r2' });
});

it('a picture that is still in the spool when its run is stopped is put at its name', async () => {
  const output = await openOutput(out);
  await settledRun(output, 'r1', 0);
  const row = rowOf(1, { id: 'chair', output: 'chair.{ext}' });
  await output.runs.writePlan('r1', [planLine(row).text]);
  const content = { bytes: 5, sha256: hash('sha256', 'bytes') };
  const call = callOf({ closed: { ...endings.picture, picture: { ...picture, ...content } } });
  await output.calls.open(call);
  const { bin } = spoolFiles(output.storage, call);
  await writeFile(bin, 'bytes');
  await finishRun(output, 'r1', { code: exitCodes.budget, reason: 'the retry budget is used up' });
  expect(await readFile(join(out, 'chair.jpg'), 'utf8')).toBe('bytes');
  expect(existsSync(bin)).toBe(false);
  const results = await readFile(join(out, 'report/results.jsonl'), 'utf8');
  expect(JSON.parse(results)).toMatchObject({ status: 'succeeded', output: 'chair.jpg' });
});
