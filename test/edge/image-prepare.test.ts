import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import sharp, { type Sharp } from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDecoderProcess } from '../../src/image/decoder-process.ts';
import { createPreparer } from '../../src/image/preparer.ts';
import { withoutMetadata } from '../../src/image/strip.ts';

const preparer = createPreparer({ processes: 2 });
const fit = { maxBytes: 8_000_000, maxSide: undefined };
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reshoot-prepare-'));
});
afterAll(async () => {
  await preparer.close();
  await rm(folder, { recursive: true, force: true });
});

/** Red above, blue below: which way up it is can be told. */
const drawing = (width = 64, height = 48): Sharp =>
  sharp({ create: { width, height, channels: 3, background: 'blue' } }).composite([
    {
      input: { create: { width, height: height / 2, channels: 3, background: 'red' } },
      gravity: 'north',
    },
  ]);
const noise = (width: number, height: number, channels: 3 | 4 = 3): Sharp =>
  sharp({
    create: {
      width,
      height,
      channels,
      background: '#8888',
      noise: { type: 'gaussian', mean: 128, sigma: 60 },
    },
  });

async function put(name: string, bytes: Buffer | string | Sharp): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, typeof bytes === 'string' || Buffer.isBuffer(bytes) ? bytes : await bytes.toBuffer());
  return path;
}

const prepare = (path: string, more: { strict?: boolean; maxBytes?: number; maxSide?: number } = {}) =>
  preparer.prepare({ path, strict: false, ...fit, ...more });
const needs = async (path: string): Promise<unknown> => (await preparer.inspect([path], fit))[0];

/** The colour of the middle of the upper and of the lower half. */
async function halves(bytes: Buffer): Promise<string[]> {
  const { data, info } = await sharp(bytes).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const at = (y: number): string => {
    const from = (Math.floor(info.height * y) * info.width + Math.floor(info.width / 2)) * info.channels;
    const [red = 0, , blue = 0] = data.subarray(from, from + 3);
    return red > blue ? 'red' : 'blue';
  };
  return [at(0.25), at(0.75)];
}

describe('what needs nothing', () => {
  it('is sent byte for byte, with the hash of its file', async () => {
    const jpeg = await drawing().jpeg().toBuffer();
    const alpha = await noise(20, 20, 4).png().toBuffer();
    const webp = await drawing().webp().toBuffer();
    for (const [name, bytes] of Object.entries({ jpeg, alpha, webp })) {
      const path = await put(name, bytes);
      const { mtimeMs, ino } = await stat(path);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const source = { kind: 'file', path, bytes: bytes.length, mtimeMs, ino, sha256 };
      const made = await prepare(path);
      expect({ ...made, bytes: made.bytes.equals(bytes) }).toEqual({ bytes: true, source, changes: [] });
      expect(await needs(path)).toEqual({ needs: [] });
      await expect(prepare(path, { strict: true })).resolves.toBeDefined();
    }
  });
});

describe('a picture as the photographer saw it', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('is upright, whatever its orientation: %i', async (orientation) => {
    // What the sensor saw, so that turning it by its EXIF gives red above blue.
    const turned: Record<number, (picture: Sharp) => Sharp> = {
      1: (picture) => picture,
      2: (picture) => picture.flop(),
      3: (picture) => picture.rotate(180),
      4: (picture) => picture.flip(),
      5: (picture) => picture.rotate(270).flop(),
      6: (picture) => picture.rotate(270),
      7: (picture) => picture.rotate(90).flop(),
      8: (picture) => picture.rotate(90),
    };
    const upright = await drawing().png().toBuffer();
    const sensor = await turned[orientation]!(sharp(upright)).png().toBuffer();
    const path = await put(`o${orientation}.jpg`, sharp(sensor).withMetadata({ orientation }).jpeg());
    const { bytes } = await prepare(path);
    expect(await sharp(bytes).metadata()).toMatchObject({ width: 64, height: 48, format: 'jpeg' });
    expect((await sharp(bytes).metadata()).orientation).toBeUndefined();
    expect(await halves(bytes)).toEqual(['red', 'blue']);
  });

  it('keeps its alpha, is of 8 bits, and in sRGB', async () => {
    const cases: [string, Sharp, string[], object][] = [
      [
        'alpha.tif',
        noise(30, 20, 4).tiff({ compression: 'deflate' }),
        ['type'],
        { format: 'png', hasAlpha: true },
      ],
      ['deep.png', drawing().toColourspace('rgb16').png(), ['depth'], { format: 'png', depth: 'uchar' }],
      ['print.jpg', drawing().toColourspace('cmyk').jpeg(), ['colours'], { format: 'jpeg', space: 'srgb' }],
      ['wide.jpg', drawing().withIccProfile('p3').jpeg(), ['colours'], { format: 'jpeg', space: 'srgb' }],
      ['film.gif', drawing().gif(), ['type'], { format: 'png' }],
      ['new.avif', drawing().removeAlpha().avif(), ['type'], { format: 'jpeg' }],
    ];
    for (const [name, picture, wanted, facts] of cases) {
      const path = await put(name, picture);
      const { needs: found } = (await needs(path)) as { needs: string[] };
      expect({ name, found }).toMatchObject({ name, found: expect.arrayContaining(wanted) });
      const { bytes, changes } = await prepare(path);
      const made = await sharp(bytes).metadata();
      expect({ name, ...made }).toMatchObject({ name, ...facts });
      expect(made.icc).toBeUndefined();
      expect(changes.length).toBeGreaterThan(0);
      if (name !== 'alpha.tif') expect(await halves(bytes)).toEqual(['red', 'blue']);
      await expect(prepare(path, { strict: true })).rejects.toMatchObject({ code: 'input_unfit' });
    }
  });

  it('is sent without position and camera, its pixels as they are coded', async () => {
    const exif = { IFD0: { Make: 'Camera' }, IFD3: { GPSLatitude: '51/1 30/1 0/1' } };
    const path = await put(
      'gps.jpg',
      drawing().withExif(exif).withXmp('<x:xmpmeta xmlns:x="adobe:ns:meta/"/>').jpeg(),
    );
    const file = await readFile(path);
    expect(file.includes('Camera')).toBe(true);
    const { bytes, changes } = await prepare(path);
    expect(changes).toEqual(['without metadata']);
    const { exif: left, xmp } = await sharp(bytes).metadata();
    expect([left, xmp]).toEqual([undefined, undefined]);
    for (const secret of ['Camera', 'Exif', 'xmpmeta']) expect(bytes.includes(secret)).toBe(false);
    const pixels = (picture: Buffer): Promise<Buffer> => sharp(picture).raw().toBuffer();
    expect((await pixels(bytes)).equals(await pixels(file))).toBe(true);
    expect(bytes.length).toBeLessThan(file.length);
    // A PNG has it in chunks: it is coded anew, which loses nothing.
    const png = await put('text.png', drawing().withExif(exif).png());
    const made = await prepare(png);
    expect((await sharp(made.bytes).metadata()).exif).toBeUndefined();
    expect((await pixels(made.bytes)).equals(await pixels(await readFile(png)))).toBe(true);
  });

  it('keeps the colours that its other segments tell', async () => {
    const profiled = await drawing()
      .withIccProfile('srgb')
      .withExif({ IFD0: { Make: 'Camera' } })
      .jpeg()
      .toBuffer();
    const stripped = withoutMetadata(profiled);
    expect((await sharp(stripped).metadata()).icc).toBeDefined();
    expect(stripped.includes('Camera')).toBe(false);
    for (const odd of [
      Buffer.from([0xff, 0xd8]),
      Buffer.from('ffd8ffe1', 'hex'),
      Buffer.from('ffd8ffe1ffff00', 'hex'),
    ])
      expect(withoutMetadata(odd).length).toBeLessThanOrEqual(odd.length);
  });
});

describe('a picture that is too large', () => {
  it('loses quality first, then pixels, and then it fits', async () => {
    const path = await put('large.png', noise(600, 500).png());
    const quality = await prepare(path, { maxBytes: 200_000 });
    expect(quality.bytes.length).toBeLessThanOrEqual(200_000);
    expect(quality.changes.at(-1)).toMatch(/^as JPEG of quality \d+, 600x500$/);
    const pixels = await prepare(path, { maxBytes: 20_000 });
    expect(pixels.bytes.length).toBeLessThanOrEqual(20_000);
    expect(pixels.bytes.length).toBeGreaterThan(6_000);
    expect(pixels.changes.at(-1)).toMatch(/^as JPEG of quality 80, [1-5]\d\dx[1-4]\d\d$/);
    const clear = await prepare(await put('clear.png', noise(400, 300, 4).png()), { maxBytes: 20_000 });
    expect(await sharp(clear.bytes).metadata()).toMatchObject({ format: 'webp', hasAlpha: true });
    expect(clear.bytes.length).toBeLessThanOrEqual(20_000);
  });

  it('is made as small as --input-max asks, and never larger', async () => {
    const path = await put('wide.png', drawing(300, 200).png());
    const { bytes } = await prepare(path, { maxSide: 150 });
    expect(await sharp(bytes).metadata()).toMatchObject({ width: 150, height: 100 });
    expect((await prepare(path, { maxSide: 300 })).changes).toEqual([]);
  });
});

describe('what cannot be sent', () => {
  it('is named, by its header where that tells and before it is paid for where it does not', async () => {
    const jpeg = await noise(300, 300).jpeg().toBuffer();
    const png = await noise(100, 100).png().toBuffer();
    const bomb = Buffer.from(png);
    bomb.writeUInt32BE(20_000, 16);
    bomb.writeUInt32BE(20_000, 20);
    const cut = /does not decode to its end/;
    const cases: [string, Buffer | string, string, RegExp, boolean][] = [
      ['cut.jpg', jpeg.subarray(0, jpeg.length / 2), 'input_not_a_picture', cut, false],
      ['cut.png', png.subarray(0, png.length - 20), 'input_not_a_picture', cut, false],
      ['no-end.jpg', jpeg.subarray(0, -2), 'input_not_a_picture', cut, false],
      ['page.jpg', '<!doctype html>404', 'input_not_a_picture', /HTML/, true],
      ['drawn.png', '<svg xmlns="http://www.w3.org/2000/svg"/>', 'input_not_a_picture', /<svg/, true],
      ['empty.jpg', '', 'input_not_a_picture', /empty/, true],
      ['head.jpg', jpeg.subarray(0, 20), 'input_not_a_picture', /head\.jpg/, true],
      [
        'phone.heic',
        Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'latin1'),
        'input_not_a_picture',
        /HEIC is not decoded here/,
        true,
      ],
      ['bomb.png', bomb, 'input_too_large', /20000x20000 pixels/, true],
    ];
    for (const [name, bytes, code, says, byHeader] of cases) {
      const path = await put(name, bytes);
      await expect(prepare(path)).rejects.toMatchObject({ code, message: expect.stringMatching(says) });
      expect('needs' in ((await needs(path)) as object)).toBe(!byHeader);
    }
    await expect(prepare(join(folder, 'gone.jpg'))).rejects.toMatchObject({ code: 'input_missing' });
  });

  it('takes its decoder down at most, and the others are looked at all the same', async () => {
    const sound = await put('sound.jpg', drawing().jpeg());
    const deadly = await put('deadly.jpg', drawing().jpeg());
    let deaths = 0;
    const fragile = createPreparer({
      processes: 1,
      start: async () => {
        const decoder = await startDecoderProcess();
        const dying = <T>(paths: unknown[], live: () => Promise<T>): Promise<T | 'died'> => {
          if (!paths.includes(deadly)) return live();
          deaths += 1;
          process.kill(decoder.pid, 'SIGKILL');
          return sleep(20)
            .then(live)
            .catch(() => 'died' as const);
        };
        return {
          ...decoder,
          inspect: (paths, ...rest) => dying(paths, () => decoder.inspect(paths, ...rest)),
          prepare: (order, ...rest) => dying([order.path], () => decoder.prepare(order, ...rest)),
        };
      },
    });
    try {
      const [first, second] = await fragile.inspect([sound, deadly], fit);
      expect([first, second]).toMatchObject([{ needs: [] }, { code: 'input_not_a_picture' }]);
      await expect(fragile.prepare({ path: deadly, strict: false, ...fit })).rejects.toThrow(
        'killed its decoder twice',
      );
      await expect(fragile.prepare({ path: sound, strict: false, ...fit })).resolves.toMatchObject({
        changes: [],
      });
      expect(deaths).toBeGreaterThan(3);
    } finally {
      await fragile.close();
    }
  });

  it('is a file that changes while it is read', async () => {
    const path = await put('twice.jpg', drawing().jpeg());
    const { source } = await prepare(path);
    await copyFile(await put('other.jpg', drawing(80, 60).jpeg()), path);
    expect((await prepare(path)).source).not.toEqual(source);
  });
});
