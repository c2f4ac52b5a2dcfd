import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, expect, it } from 'vitest';
import { checkManifest } from '../../src/batch/check.ts';
import { readPlanOptions } from '../../src/commands/plan-options.ts';
import { readConfig } from '../../src/config.ts';
import { readAll } from '../fixtures/manifest.ts';

const folder = mkdtempSync(join(tmpdir(), 'manifest-memory-'));
afterAll(() => rmSync(folder, { recursive: true }));

const put = (name: string, content: string): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};

/** Reads a manifest in a process with so many megabytes for its objects. */
const readIn = async (
  file: string,
  heapMb: number,
): Promise<{ rows: number; findings: number; peakMb: number }> => {
  const args = [
    `--max-old-space-size=${heapMb}`,
    '--import',
    'tsx',
    'test/fixtures/manifest-reader.ts',
    file,
  ];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as { rows: number; findings: number; peakMb: number };
};

const cell = 'a long text, '.repeat(150);
const make = (count: number, write: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => write(n)).join('');

it('reads a manifest larger than its memory', async () => {
  const rows = make(16_000, (n) => `${n},https://x.org/${n}.jpg,"${cell}${n}"\n`);
  const read = await readIn(put('m.csv', `id,image,prompt\n${rows}`), 24);
  expect(read).toMatchObject({ rows: 16_000, findings: 0 });
  expect(read.peakMb).toBeLessThan(200);
});

it('reads JSON Lines larger than its memory, with a mistake in each', async () => {
  const lines = make(
    8000,
    (n) => `{"id": ${n}, "image": "none/${n}.jpg", "prompt": "x", "note": "${cell}"}\n`,
  );
  const read = await readIn(put('m.jsonl', lines), 24);
  expect(read).toMatchObject({ rows: 8000, findings: 8000 });
  expect(read.peakMb).toBeLessThan(200);
});

it('reads embedded pictures larger than its memory altogether', async () => {
  const lines = Array.from({ length: 12 }, (_, n) => {
    const content = Buffer.alloc(7_000_000, createHash('sha256').update(String(n)).digest());
    content.set(Buffer.from('\x89PNG\r\n\x1A\n', 'latin1'));
    return `${n},"data:image/png;base64,${content.toString('base64')}",x\n`;
  });
  const file = put('embedded.csv', `id,image,prompt\n${lines.join('')}`);
  const { rows, findings, peakMb } = await readIn(file, 64);
  expect([rows, findings]).toEqual([12, 0]);
  expect(peakMb).toBeLessThan(300);
});

it('ends at a row without an end, and keeps what came before', async () => {
  const file = put(
    'endless.csv',
    `id,image,prompt\n1,https://x.org/a.jpg,x\n2,a.png,"${'x'.repeat(51_000_000)}`,
  );
  const { rows, findings, manifest } = await readAll(file);
  expect(rows.map(({ id }) => id)).toEqual(['1']);
  expect(findings).toMatchObject([{ line: 3, problem: expect.stringContaining('more than 50 MB') }]);
  expect(manifest.unskippable).toBe(true);
  const commas = await readAll(
    put('commas.csv', `id,image,prompt\n1,https://x.org/a.jpg,x\n2${','.repeat(2_000_000)}`),
  );
  expect(commas.findings).toMatchObject([{ line: 3, problem: expect.stringContaining('million cells') }]);
  const line = await readAll(put('endless.jsonl', `{"a": "${'x'.repeat(51_000_000)}"}\n{"id": 1}`));
  expect(line.findings).toContainEqual(
    expect.objectContaining({ line: 1, problem: 'the line has more than 50 MB' }),
  );
  expect(line.rows[1]?.id).toBe('1');
});

it('what comes of a check holds no ids: a plan goes on for hours', async () => {
  const file = put('ids.csv', 'id,image,prompt\n1,https://x.org/1.jpg,x\n');
  const flags = { name: '{id}.{ext}', map: [], size: '2K', ratio: '1:1', route: '1', maxAttempts: '4' };
  const rest = { retryBudget: '10%', concurrency: 'auto', timeout: '300s' };
  const options = readPlanOptions(file, { ...flags, ...rest }, readConfig({}));
  const { manifest, close } = await checkManifest(file, options, { target: undefined, output: undefined });
  close();
  expect(manifest).toMatchObject({ rows: 1, findings: 0 });
  expect(manifest).not.toHaveProperty('hasId');
});
