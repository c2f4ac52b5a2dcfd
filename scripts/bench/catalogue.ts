/**
 * Makes manifests of so many rows, their pictures, and an output in which every row is done: what a run of days would
 * leave. The records are written by hand, since a million calls can't be made in an afternoon; the index is made from
 * them by the product. Each picture is a file of its own.
 */
import { closeSync, mkdirSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { createHash, hash } from 'node:crypto';
import { join } from 'node:path';
import { keyOf, type Call } from '../../src/records/call.ts';
import { createCalls } from '../../src/records/calls.ts';
import { fingerprint } from '../../src/records/fingerprint.ts';
import { self } from '../../src/owner.ts';
import { openFolder } from '../../src/storage/local.ts';
import { setTimeout as sleep } from 'node:timers/promises';

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
  jsonl: string;
  /** Its size and route are none that the API knows. */
  wrong: string;
  /** The pictures' folder, which is a manifest too. */
  pictures: string;
}

export function makeManifests(folder: string, rows: number): Manifests {
  const pictures = join(folder, 'pictures');
  const csv = createText(join(folder, 'catalogue.csv'), pictures);
  const jsonl = createText(join(folder, 'catalogue.jsonl'), pictures);
  const wrong = createText(join(folder, 'wrong.csv'), pictures);
  csv.add('sku,image,prompt,title,price,category\n');
  wrong.add('sku,image,prompt,size,route\n');
  for (let row = 1; row <= rows; row++) {
    const [id, prompt] = [nameOf(row), promptOf(row)];
    const image = `pictures/${folderOf(row)}/${id}.png`;
    if (row % rowsAFolder === 0 || row === 1) mkdirSync(join(pictures, folderOf(row)), { recursive: true });
    writeFileSync(join(folder, image), pixel);
    const [title, price, category] = [`Chair no. ${row}, oak`, `${(row % 900) + 99}.00`, 'furniture/chairs'];
    csv.add(`${id},${image},"${prompt}","${title}",${price},${category}\n`);
    jsonl.add(`${JSON.stringify({ sku: id, image, prompt, title, price, category })}\n`);
    wrong.add(`${id},${image},"${prompt}",huge,3\n`);
  }
  return { folder, csv: csv.close(), jsonl: jsonl.close(), wrong: wrong.close(), pictures };
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

/** Makes the output of a finished run over that manifest. */
export async function makeFinished(folder: string, out: string, rows: number, origin: string): Promise<void> {
  const storage = await openFolder(out);
  const sha256 = createHash('sha256').update(pixel).digest('hex');
  for (let row = 1; row <= rows; row++) {
    const id = nameOf(row);
    const path = join(folder, 'pictures', folderOf(row), `${id}.png`);
    const { size: bytes, mtimeMs, ino } = statSync(path);
    const asked = { prompt: promptOf(row), size: '2K', ratio: '1:1' as const };
    const sources: Call['sources'] = [{ kind: 'file', path, bytes, mtimeMs, ino, sha256 }];
    const call: Call = {
      v: 1,
      run: 'r20261101T000000000-bench0',
      id,
      n: 1,
      route: 1,
      account: 'default',
      origin,
      owner: self,
      started_at: new Date(1_793_491_200_000 + row * 2000).toISOString(),
      fingerprint: fingerprint(origin, asked, sources),
      ...asked,
      sources,
      on_unknown: 'retry',
      closed: {
        at: new Date(1_793_491_200_000 + row * 2000 + 40_000).toISOString(),
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
  // The index is believed only where it is older than the clock's grain.
  await sleep(2500);
  await createCalls(storage).reindex(idsOf(rows));
}

async function* idsOf(rows: number): AsyncIterable<string> {
  for (let row = 1; row <= rows; row++) yield nameOf(row);
}
