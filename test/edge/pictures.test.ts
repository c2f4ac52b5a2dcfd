import { hash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createPreparer } from '../../src/image/preparer.ts';
import { createRig, small, type Rig } from '../fixtures/rig.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await createRig();
});
afterEach(() => rig.close());

const drawing = (): Sharp => sharp({ create: { width: 60, height: 40, channels: 3, background: '#a33' } });
const noisy = (side: number): Sharp =>
  sharp({
    create: {
      width: side,
      height: side,
      channels: 3,
      background: '#888',
      noise: { type: 'gaussian', mean: 128, sigma: 90 },
    },
  });
const gps = { IFD0: { Make: 'Camera' }, IFD3: { GPSLatitude: '51/1 30/1 0/1' } };

/** Writes pictures and a manifest with a row for each, named like its picture. */
async function catalogue(pictures: Record<string, Sharp | Buffer>): Promise<string> {
  for (const [name, content] of Object.entries(pictures)) {
    const bytes = Buffer.isBuffer(content) ? content : await content.toBuffer();
    await writeFile(join(rig.dir, 'pictures', name), bytes);
  }
  const names = Object.keys(pictures);
  const lines = names.map((name) => `${name.split('.')[0]},pictures/${name},on white`);
  await writeFile(join(rig.dir, 'm.csv'), `id,image,prompt\n${lines.join('\n')}\n`);
  return join(rig.dir, 'm.csv');
}

const notesOf = (stdout: string): { line: number; problem: string }[] =>
  (JSON.parse(stdout) as { notes: { line: number; problem: string }[] }).notes;

describe('pictures as people have them', () => {
  it('are made fit on their way, which check foretells and the report says; a cut one costs nothing', async () => {
    const whole = await drawing().jpeg().toBuffer();
    const file = await catalogue({
      'plain.jpg': whole,
      'turned.jpg': drawing().withExif(gps).withMetadata({ orientation: 6 }).jpeg(),
      'scan.tif': drawing().tiff(),
      'large.png': noisy(1750).png({ compressionLevel: 1 }),
      'cut.jpg': (await noisy(200).jpeg().toBuffer()).subarray(0, -400),
    });
    const check = await rig.run(['check', file, '--json']);
    expect(check.code).toBe(0);
    expect(notesOf(check.stdout).map(({ line, problem }) => [line, problem])).toEqual([
      [3, 'the picture is turned upright, as its EXIF says'],
      [3, 'the picture is sent without its camera data, position and other metadata'],
      [4, 'the picture is sent as a JPEG or PNG, since the API does not take its type'],
      [5, 'the picture is made smaller, since the API takes at most 8 MB'],
    ]);
    const run = await rig.run(['run', file, ...small]);
    expect(run.code).toBe(6);
    const results = await rig.results();
    const changes = results.map(({ id, calls }) => [id, calls.flatMap((call) => call.changes ?? [])]);
    expect(Object.fromEntries(changes)).toEqual({
      plain: [],
      turned: [expect.stringMatching(/^turned upright, without metadata, as JPEG of quality 92, 40x60$/)],
      scan: ['from TIFF, as JPEG of quality 92, 60x40'],
      large: [expect.stringMatching(/^from 9\.\d MB, as JPEG of quality \d\d, 1750x1750$/)],
      cut: [],
    });
    expect(results.at(-1)).toMatchObject({
      status: 'failed',
      error_code: 'input_not_a_picture',
      attempts: 0,
    });
    expect(rig.simulator.calls).toHaveLength(4);
    const preparer = createPreparer({ processes: 1 });
    const order = {
      path: join(rig.dir, 'pictures/turned.jpg'),
      strict: false,
      maxBytes: 8e6,
      maxSide: undefined,
    };
    const { bytes } = await preparer.prepare(order);
    await preparer.close();
    const sent = rig.simulator.calls.map(({ reference }) => reference);
    for (const picture of [bytes, whole]) expect(sent).toContain(hash('sha256', picture));
    // What is done goes by the files, and they are the same.
    const again = await rig.run(['run', file, ...small]);
    expect(again.code).toBe(6);
    expect(rig.simulator.calls).toHaveLength(4);
  });

  it('are refused by --inputs strict where they would have to be changed, and made as small as --input-max asks', async () => {
    const file = await catalogue({
      'plain.jpg': drawing().jpeg(),
      'gps.jpg': drawing().withExif(gps).jpeg(),
    });
    const strict = await rig.run(['run', file, ...small, '--inputs', 'strict']);
    expect(strict.code).toBe(2);
    expect(strict.stderr).toContain(
      'm.csv:3:image: "pictures/gps.jpg": the picture would have to be changed: it is sent without',
    );
    expect(rig.simulator.calls).toEqual([]);
    const odd = await rig.run(['check', file, '--inputs', 'inline']);
    expect(odd).toMatchObject({ code: 2, stderr: expect.stringContaining('not yet supported') });
    const less = await rig.run(['run', file, ...small, '--input-max', '30']);
    expect(less.code).toBe(0);
    const [plain] = await rig.results();
    expect(plain?.calls[0]?.changes).toEqual(['from 60x40, as JPEG of quality 92, 30x20']);
  });
});
