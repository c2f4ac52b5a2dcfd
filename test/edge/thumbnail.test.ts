import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp, { type Sharp } from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeThumbs } from '../../src/batch/thumbs.ts';
import { startDecoderProcess } from '../../src/image/decoder-process.ts';
import type { Original } from '../../src/image/shrink.ts';
import { createThumbnailer } from '../../src/image/thumbnail.ts';
import { openFolder } from '../../src/storage/local.ts';
import { createRig } from '../fixtures/rig.ts';

const thumbnailer = createThumbnailer();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reshoot-thumbs-'));
});
afterAll(async () => {
  await thumbnailer.close();
  await rm(folder, { recursive: true, force: true });
});

async function put(name: string, bytes: Buffer): Promise<Original> {
  const file = join(folder, name);
  await writeFile(file, bytes);
  return { file, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

const plain = (width: number, height: number, background = 'teal'): Sharp =>
  sharp({ create: { width, height, channels: 3, background } });

/** White on the left, black on the right, to see which side is up. */
const halves = (): Sharp =>
  plain(800, 400, 'black').composite([
    { input: { create: { width: 400, height: 400, channels: 3, background: 'white' } }, left: 0, top: 0 },
  ]);

describe('createThumbnailer', () => {
  it('makes a small WebP of every type that can be sent or received', async () => {
    const formats = { jpg: 'jpeg', png: 'png', webp: 'webp', gif: 'gif', avif: 'avif', tif: 'tiff' } as const;
    for (const [ext, format] of Object.entries(formats)) {
      const bytes = await plain(1000, 500).toFormat(format, { effort: 1 }).toBuffer();
      const webp = await thumbnailer.make(await put(`a.${ext}`, bytes));
      expect(await sharp(webp).metadata(), ext).toMatchObject({ format: 'webp', width: 320, height: 160 });
    }
  });

  it('turns it upright, strips what the camera wrote, and enlarges nothing', async () => {
    const turned = await halves()
      .withExif({ IFD0: { Artist: 'somebody' } })
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    expect((await sharp(turned).metadata()).orientation).toBe(6);
    const webp = await thumbnailer.make(await put('turned.jpg', turned));
    const { width, height, exif, orientation } = await sharp(webp).metadata();
    expect({ width, height, exif, orientation }).toMatchObject({
      width: 160,
      height: 320,
      exif: undefined,
      orientation: undefined,
    });
    const pixels = await sharp(webp).raw().toBuffer();
    expect([pixels.at(0)! > 200, pixels.at(-1)! < 50]).toEqual([true, true]);
    const small = await thumbnailer.make(await put('small.png', await plain(40, 20).png().toBuffer()));
    expect(await sharp(small).metadata()).toMatchObject({ width: 40, height: 20 });
  });

  it('makes none of a file that is gone, has changed, or holds no whole picture', async () => {
    const bytes = await plain(600, 600).jpeg().toBuffer();
    const good = await put('good.jpg', bytes);
    expect(await thumbnailer.make(good)).toBeDefined();
    expect(await thumbnailer.make({ ...good, file: join(folder, 'gone.jpg') })).toBeUndefined();
    expect(await thumbnailer.make({ ...good, file: folder })).toBeUndefined();
    expect(
      await thumbnailer.make(await put('cut.jpg', bytes.subarray(0, bytes.length >> 1))),
    ).toBeUndefined();
    expect(
      await thumbnailer.make(await put('page.jpg', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'))),
    ).toBeUndefined();
    const other = Buffer.from(bytes);
    other[other.length >> 1]! ^= 1;
    await writeFile(good.file, other);
    expect(await thumbnailer.make(good)).toBeUndefined();
  });

  it('survives a picture that kills its decoder, or that takes for ever', async () => {
    const original = await put('fine.png', await plain(500, 500).png().toBuffer());
    let started = 0;
    const fragile = createThumbnailer({
      processes: 1,
      deadlineMs: 3000,
      start: async () => {
        const decoder = await startDecoderProcess();
        started += 1;
        if (started > 2) return decoder;
        process.kill(decoder.pid, 'SIGSTOP');
        if (started === 1) setTimeout(() => process.kill(decoder.pid, 'SIGKILL'), 100);
        return decoder;
      },
    });
    expect(await fragile.make(original)).toBeUndefined();
    expect(await fragile.make(original)).toBeUndefined();
    expect(await fragile.make(original)).toBeDefined();
    expect(started).toBe(3);
    await fragile.close();
  });
});

describe('makeThumbs', () => {
  const list = async function* (originals: Original[]): AsyncGenerator<Original> {
    yield* originals;
  };

  it('makes each content once, and the next time only what is missing', async () => {
    const storage = await openFolder(join(folder, 'out'));
    const red = await put('red.png', await plain(400, 400, 'red').png().toBuffer());
    const twin = await put('twin.png', await readFile(red.file));
    const blue = await put('blue.png', await plain(400, 400, 'blue').png().toBuffer());
    const asked: string[] = [];
    const make = async (originals: Original[], withinMs = Infinity): Promise<Set<string>> => {
      const real = createThumbnailer();
      const counting = { ...real, make: (one: Original) => (asked.push(one.file), real.make(one)) };
      return makeThumbs(storage, list(originals), withinMs, counting);
    };
    expect((await make([red, twin], -1)).size).toBe(0);
    expect(asked).toEqual([]);
    const made = await make([red, twin, { ...red, sha256: '0'.repeat(64) }]);
    expect(made).toEqual(new Set([red.sha256.slice(0, 32)]));
    expect(asked).toHaveLength(2);
    expect((await make([red, blue])).size).toBe(2);
    expect(asked.slice(2)).toEqual([blue.file]);
  });

  it('never throws: a report without thumbnails is still a report', async () => {
    const storage = await openFolder(join(folder, 'full'));
    await mkdir(join(folder, 'full', 'report'));
    await writeFile(join(folder, 'full', 'report', 'thumbs'), 'in the way');
    const red = await put('red2.png', await plain(400, 400, 'red').png().toBuffer());
    expect((await makeThumbs(storage, list([red]), Infinity)).size).toBe(0);
  });
});

describe('a run', () => {
  it('has thumbnails of what was sent and of what came back, and report makes those that are gone', async () => {
    const rig = await createRig();
    try {
      const file = await rig.manifest(['one', 'two', 'bad [sim:400*]']);
      expect(await rig.run(['run', file, '-o', 'out', '--size', '1K'])).toMatchObject({ code: 6 });
      const thumbs = join(rig.out, 'report', 'thumbs');
      const names = async (): Promise<string[]> =>
        (await readdir(thumbs, { recursive: true })).filter((name) => name.endsWith('.webp')).toSorted();
      const results = await rig.results();
      const source = createHash('sha256')
        .update(await readFile(join(rig.dir, 'pictures', 'p.png')))
        .digest('hex');
      const wanted = [source, ...results.flatMap(({ sha256 }) => sha256 ?? [])].map(
        (sha256) => `${sha256.slice(0, 2)}/${sha256.slice(0, 32)}.webp`,
      );
      expect(wanted).toHaveLength(3);
      expect(await names()).toEqual(wanted.toSorted());
      const page = await readFile(join(rig.out, 'report', 'index.html'), 'utf8');
      for (const name of wanted) expect(page).toContain(`thumbs/${name}`);

      const kept = join(thumbs, wanted[0]!);
      const { mtimeMs } = await stat(kept);
      await rm(join(thumbs, wanted[1]!));
      await rm(join(rig.dir, 'pictures', 'p.png'));
      expect(await rig.run(['report', 'out'])).toMatchObject({ code: 0 });
      expect(await names()).toEqual(wanted.toSorted());
      expect((await stat(kept)).mtimeMs).toBe(mtimeMs);
    } finally {
      await rig.close();
    }
  });
});
