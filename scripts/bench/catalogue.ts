/**
 * Makes manifests of so many rows, their pictures, and an output in which every row is done: what a run of days would
 * leave. The records are written by hand, since a million calls can't be made in an afternoon; plan, index and report are
 * made by the product. Each picture is a file of its own.
 */
import { closeSync, mkdirSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { createHash, hash } from 'node:crypto';
import { join } from 'node:path';
import { askedFrom } from '../../src/batch/asked.ts';
import { checkManifest } from '../../src/batch/check.ts';
import { createDraft } from '../../src/batch/draft.ts';
import { finishRun } from '../../src/batch/finish.ts';
import { openOutput } from '../../src/batch/output.ts';
import { readPlanOptions } from '../../src/commands/plan-options.ts';
import { readConfig } from '../../src/config.ts';
import { keyOf, type Call } from '../../src/records/call.ts';
import { fingerprint } from '../../src/records/fingerprint.ts';
import { self } from '../../src/owner.ts';
import { openFolder } from '../../src/storage/local.ts';
import { setTimeout as sleep } from 'node:timers/promises';

/** Epoch milliseconds. */
const startedAt = 1_791_000_000_000;

/** The smallest picture that is one. */
const pixel = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
const rowsAFolder = 1000;

const nameOf = (row: number): string => `SKU-${String(row).padStart(7, '0')}`;
const folderOf = (row: number): string => String(Math.floor(row / rowsAFolder)).padStart(4, '0');
const promptOf = (row: number): string =>
  `Put product ${row} on a seamless white ground with a soft shadow, keep its label as it is`;

/** Manifests of the same rows. */
export interface Manifests {
  folder: string;
  csv: string;
  /** The same but for a column that is only carried. */
  repriced: string;
  jsonl: string;
  /** Its size and route are none that the API knows. */
  wrong: string;
  /** The pictures' folder, which is a manifest too. */
  pictures: string;
}

export function makeManifests(folder: string, rows: number): Manifests {
  const pictures = join(folder, 'pictures');
  const csv = createText(join(folder, 'catalogue.csv'), pictures);
  const repriced = createText(join(folder, 'repriced.csv'), pictures);
  const jsonl = createText(join(folder, 'catalogue.jsonl'), pictures);
  const wrong = createText(join(folder, 'wrong.csv'), pictures);
  for (const text of [csv, repriced]) text.add('sku,image,prompt,title,price,category\n');
  wrong.add('sku,image,prompt,size,route\n');
  for (let row = 1; row <= rows; row++) {
    const [id, prompt] = [nameOf(row), promptOf(row)];
    const image = `pictures/${folderOf(row)}/${id}.png`;
    if (row % rowsAFolder === 0 || row === 1) mkdirSync(join(pictures, folderOf(row)), { recursive: true });
    writeFileSync(join(folder, image), pixel);
    const [title, price, category] = [`Chair no. ${row}, oak`, `${(row % 900) + 99}.00`, 'furniture/chairs'];
    csv.add(`${id},${image},"${prompt}","${title}",${price},${category}\n`);
    repriced.add(`${id},${image},"${prompt}","${title}",1${price},${category}\n`);
    jsonl.add(`${JSON.stringify({ sku: id, image, prompt, title, price, category })}\n`);
    wrong.add(`${id},${image},"${prompt}",huge,3\n`);
  }
  return {
    folder,
    csv: csv.close(),
    repriced: repriced.close(),
    jsonl: jsonl.close(),
    wrong: wrong.close(),
    pictures,
  };
}

/** A text that is written bit by bit. */
function createText(file: string, folder: string) {
  mkdirSync(folder, { recursive: true });
  const open = openSync(file, 'w');
  let block = '';
  const flush = (): void => {
    writeSync(open, block);
    block = '';
  };
  return {
    add(text: string): void {
      block += text;
      if (block.length > 2 ** 20) flush();
    },
    close(): string {
      flush();
      closeSync(open);
      return file;
    },
  };
}

const run = 'r20261101T000000000-bench0';

/** Makes the output of a finished run over `csv`. */
export async function makeFinished(
  { folder, csv }: Pick<Manifests, 'folder' | 'csv'>,
  out: string,
  rows: number,
  origin: string,
): Promise<void> {
  await makeRecords(folder, out, rows, origin);
  // What has just been written may change again without looking newer.
  await sleep(2500);
  await (await openOutput(out)).calls.reindex(idsOf(rows));
  await endRun(csv, out, origin);
}

async function makeRecords(folder: string, out: string, rows: number, origin: string): Promise<void> {
  await openFolder(out);
  const sha256 = createHash('sha256').update(pixel).digest('hex');
  for (let row = 1; row <= rows; row++) {
    const id = nameOf(row);
    const path = join(folder, 'pictures', folderOf(row), `${id}.png`);
    const { size: bytes, mtimeMs, ino } = statSync(path);
    const asked = { prompt: promptOf(row), size: '2K', ratio: '1:1' as const };
    const sources: Call['sources'] = [{ kind: 'file', path, bytes, mtimeMs, ino, sha256 }];
    const call: Call = {
      v: 1,
      run,
      id,
      n: 1,
      route: 1,
      account: 'default',
      origin,
      owner: self,
      started_at: new Date(startedAt + row * 2000).toISOString(),
      fingerprint: fingerprint(origin, asked, sources),
      ...asked,
      sources,
      on_unknown: 'retry',
      closed: {
        at: new Date(startedAt + row * 2000 + 40_000).toISOString(),
        ms: 40_000,
        outcome: 'succeeded',
        charged: 'yes',
        http_status: 200,
        picture: {
          mime: 'image/png',
          ext: 'png',
          width: 1,
          height: 1,
          verified: true,
          bytes: pixel.length,
          sha256,
          output: `${id}.png`,
        },
      },
    };
    const records = join(out, '.reshoot/calls', hash('sha256', id).slice(0, 2), keyOf(id));
    mkdirSync(records, { recursive: true });
    writeFileSync(join(records, '1.json'), `${JSON.stringify(call, null, 1)}\n`);
    writeFileSync(join(out, `${id}.png`), pixel);
  }
}

/** Plans the run and ends it, as if its calls had been made in between. */
async function endRun(csv: string, out: string, origin: string): Promise<void> {
  const flags = { name: '{id}.{ext}', map: [], size: '2K', ratio: '1:1', route: '1', concurrency: 'auto' };
  const limits = { maxAttempts: '4', retryBudget: '10%', timeout: '300s' };
  const options = readPlanOptions(csv, { ...flags, ...limits }, readConfig({ SPIDERHUBS_BASE_URL: origin }));
  const output = await openOutput(out);
  const asked = await askedFrom(csv, options, out);
  const draft = createDraft();
  const { manifest, close } = await checkManifest(csv, options, { target: out, output }, draft);
  await output.runs.writePlan(run, draft.lines());
  await output.runs.write({
    v: 1,
    run,
    manifest: csv,
    origin,
    started_at: new Date(startedAt).toISOString(),
    plan: '',
    rows: manifest.rows,
    columns: manifest.columns,
    ...(asked && { asked: { hash: asked.hash, rows: draft.asked(), notes: [] } }),
    max_attempts: options.maxAttempts,
    retry_budget: 10,
    timeout_ms: options.timeoutMs,
    force: false,
  });
  close();
  draft.close();
  await finishRun(output, run, undefined);
}

async function* idsOf(rows: number): AsyncIterable<string> {
  for (let row = 1; row <= rows; row++) yield nameOf(row);
}
