import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { maxFileBytes, readPicture } from '../../src/image/read.ts';

let folder: string;
let jpeg: Buffer;
const put = async (name: string, bytes: Buffer | string): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reshoot-read-'));
  jpeg = await sharp({ create: { width: 40, height: 30, channels: 3, background: 'teal' } })
    .jpeg()
    .toBuffer();
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('readPicture', () => {
  it('hands over the bytes with their hash and stat', async () => {
    const path = await put('图 1.png', jpeg);
    const { mtimeMs, ino } = await stat(path);
    const { bytes, source } = await readPicture({ path });
    expect(bytes.equals(jpeg)).toBe(true);
    const sha256 = createHash('sha256').update(jpeg).digest('hex');
    expect(source).toEqual({ kind: 'file', path, bytes: jpeg.length, mtimeMs, ino, sha256 });
  });

  it('reads no file that is larger than what is held in memory', async () => {
    const path = await put('more.jpg', jpeg);
    await truncate(path, maxFileBytes + 1);
    await expect(readPicture({ path })).rejects.toMatchObject({ code: 'input_too_large' });
  });

  it('says that a file is gone', async () => {
    for (const path of [join(folder, 'gone.jpg'), join(await put('file.jpg', jpeg), 'below.jpg')]) {
      await expect(readPicture({ path })).rejects.toMatchObject({
        code: 'input_missing',
        disposition: 'fatal',
        message: `input_missing: ${path} does not exist`,
      });
    }
  });

  it('names what is no picture', async () => {
    const refused: [string, Buffer | string, RegExp][] = [
      ['empty.jpg', '', /empty/],
      ['page.jpg', '<!doctype html><p>Not found', /HTML .*Not found/],
      ['drawn.jpg', '<svg xmlns="http://www.w3.org/2000/svg"/>', /text "<svg/],
    ];
    for (const [name, bytes, says] of refused) {
      const reading = readPicture({ path: await put(name, bytes) });
      await expect(reading).rejects.toMatchObject({ code: 'input_not_a_picture' });
      await expect(reading).rejects.toThrow(says);
    }
  });

  it('waits for no FIFO and reads no folder', async () => {
    const fifo = join(folder, 'fifo.jpg');
    execFileSync('/usr/bin/env', ['mkfifo', fifo]);
    for (const path of [fifo, folder]) {
      await expect(readPicture({ path })).rejects.toMatchObject({ code: 'input_not_a_picture' });
    }
  });

  it('says that a name cannot be opened', async () => {
    const path = join(folder, 'n'.repeat(300));
    await expect(readPicture({ path })).rejects.toMatchObject({ code: 'input_unreadable' });
  });
});
