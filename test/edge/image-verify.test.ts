import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32, deflateSync } from 'node:zlib';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startDecoderProcess } from '../../src/image/decoder-process.ts';
import { createVerifier } from '../../src/image/verify.ts';

const verifier = createVerifier();
let folder: string;
let pictures: Record<string, Buffer>;

const put = async (name: string, bytes: Buffer | string): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, bytes);
  return path;
};

/** Noise, so that the last bytes of each format hold pixels. */
async function makePictures(): Promise<Record<string, Buffer>> {
  const noise = sharp({
    create: {
      width: 320,
      height: 240,
      channels: 3,
      background: 'teal',
      noise: { type: 'gaussian', sigma: 30 },
    },
  });
  const formats = {
    'plain.jpg': noise.clone().jpeg(),
    'progressive.jpg': noise.clone().jpeg({ progressive: true }),
    'plain.png': noise.clone().png(),
    'interlaced.png': noise.clone().png({ progressive: true }),
    'lossy.webp': noise.clone().webp(),
    'lossless.webp': noise.clone().webp({ lossless: true }),
    'plain.avif': noise.clone().avif({ effort: 0 }),
    'plain.gif': noise.clone().gif(),
  };
  const made = Object.entries(formats).map(
    async ([name, picture]) => [name, await picture.toBuffer()] as const,
  );
  return Object.fromEntries(await Promise.all(made));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'reshoot-verify-'));
  pictures = await makePictures();
});
afterAll(async () => {
  await verifier.close();
  await rm(folder, { recursive: true, force: true });
});

/** A process that nobody has buried yet, as in a container without an init, is dead nevertheless. */
const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return process.platform !== 'linux' || !readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ');
  } catch {
    return false;
  }
};

describe('createVerifier', () => {
  it('reads whole pictures, whatever their name says and whatever follows them', async () => {
    for (const [name, bytes] of Object.entries(pictures)) {
      const path = await put(`whole-${name}.txt`, Buffer.concat([bytes, Buffer.from('trailing')]));
      const ext = name.split('.')[1];
      const facts = {
        ext,
        mime: `image/${ext === 'jpg' ? 'jpeg' : ext}`,
        width: 320,
        height: 240,
        verified: true,
      };
      expect(await verifier.verify(path), name).toEqual(facts);
    }
  });

  it('finds every cut, down to the last two bytes', async () => {
    for (const [name, bytes] of Object.entries(pictures)) {
      const { length } = bytes;
      for (const kept of [length >> 1, Math.floor(length * 0.999), length - 12, length - 2]) {
        const path = await put(name, bytes.subarray(0, kept));
        await expect(verifier.verify(path), `${name}, ${kept} of ${length}`).rejects.toMatchObject({
          code: 'cut_picture',
          disposition: 'retry',
          charged: 'yes',
        });
      }
    }
  });

  it.each([
    ['nothing', '', /empty/],
    ['text', 'quota exceeded', /text "quota exceeded"/],
    ['a page', '<html><h1>502 Bad Gateway</h1>', /HTML .*502/],
    ['drawing instructions', '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', /svg/],
  ])('does not take %s for a picture', async (_, content, says) => {
    const verdict = verifier.verify(await put('answer.jpg', content));
    await expect(verdict).rejects.toMatchObject({ code: 'not_a_picture' });
    await expect(verdict).rejects.toThrow(says);
  });

  it('takes a type that it cannot decode at its word', async () => {
    const bmp = Buffer.alloc(58);
    bmp.write('BM');
    bmp.writeUInt32LE(40, 14);
    const unverified = { mime: 'image/bmp', ext: 'bmp', width: 0, height: 0, verified: false };
    expect(await verifier.verify(await put('a.bmp', bmp))).toEqual(unverified);
  });

  it('does not unpack a bomb', async () => {
    const began = Date.now();
    const facts = await verifier.verify(await put('bomb.png', bombPng(30_000, 30_000)));
    expect(facts).toMatchObject({ ext: 'png', width: 30_000, height: 30_000, verified: false });
    expect(Date.now() - began).toBeLessThan(5000);
  });

  it('does not blame the picture for a file that it cannot read', async () => {
    await expect(verifier.verify(join(folder, 'gone.jpg'))).rejects.toMatchObject({
      name: 'SurroundingsError',
    });
  });
});

describe('the helper process', () => {
  it('may be killed over a picture: it gets a second one, and the next picture works', async () => {
    const path = await put('good.jpg', pictures['plain.jpg']!);
    const pids: number[] = [];
    const doomed = 3;
    const fragile = createVerifier({
      start: async () => {
        const decoder = await startDecoderProcess();
        pids.push(decoder.pid);
        if (pids.length > doomed) return decoder;
        process.kill(decoder.pid, 'SIGSTOP');
        setTimeout(() => process.kill(decoder.pid, 'SIGKILL'), 100);
        return decoder;
      },
    });
    await expect(fragile.verify(path)).rejects.toMatchObject({ code: 'decoder_died' });
    expect(pids).toHaveLength(2);
    await expect(fragile.verify(path)).resolves.toMatchObject({ verified: true });
    await expect(fragile.verify(path)).resolves.toMatchObject({ verified: true });
    expect(pids).toHaveLength(4);
    await fragile.close();
    expect(pids.filter(alive)).toEqual([]);
  });

  it('is killed when a picture takes too long', async () => {
    let pid = 0;
    const hasty = createVerifier({
      deadlineMs: 200,
      start: async () => {
        const decoder = await startDecoderProcess();
        pid = decoder.pid;
        process.kill(pid, 'SIGSTOP');
        return decoder;
      },
    });
    const path = await put('slow.jpg', pictures['plain.jpg']!);
    await expect(hasty.verify(path)).rejects.toThrow(/decoder_died: .* within 0.2 s/);
    expect(alive(pid)).toBe(false);
  });

  it('outlives Ctrl-C and goes when its parent is killed', async () => {
    const script = await put(
      'parent.mts',
      `import { startDecoderProcess } from ${JSON.stringify(new URL('../../src/image/decoder-process.ts', import.meta.url))};
       const decoder = await startDecoderProcess();
       process.send(decoder.pid);
       setInterval(() => {}, 1000);`,
    );
    const parent = fork(script, {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const [pid] = (await once(parent, 'message')) as [number];
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.kill(pid, signal);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(alive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await expect.poll(() => alive(pid), { timeout: 5000 }).toBe(false);
  });

  it('keeps no process alive while idle', async () => {
    const path = await put('last.jpg', pictures['plain.jpg']!);
    const script = await put(
      'idle.mts',
      `import { createVerifier } from ${JSON.stringify(new URL('../../src/image/verify.ts', import.meta.url))};
       process.send(await createVerifier().verify(${JSON.stringify(path)}));
       process.disconnect();`,
    );
    const user = fork(script, {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const ended = once(user, 'exit');
    expect(await once(user, 'message')).toMatchObject([{ verified: true }, undefined]);
    expect(await ended).toEqual([0, null]);
  });
});

/** A whole PNG of few bytes whose header promises a picture of this size. */
function bombPng(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([1, 0], 8);
  const rows = Buffer.alloc(height * (1 + Math.ceil(width / 8)));
  const signature = Buffer.from('\x89PNG\r\n\x1A\n', 'latin1');
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND')]);
}

function chunk(type: string, content = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type), content]);
  const frame = Buffer.alloc(4);
  frame.writeUInt32BE(content.length);
  const check = Buffer.alloc(4);
  check.writeUInt32BE(crc32(body));
  return Buffer.concat([frame, body, check]);
}
