import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RecordFiles } from '../../src/records/files.ts';
import { createWindow, lineBlocks, textLines, type Line } from '../../src/records/lines.ts';

/** A file in memory, of which each look gives so many bytes at most; `looks` says from where and how long each was. */
function fileOf(content: Buffer, most = Infinity) {
  const looks: [number, number][] = [];
  const readRange: RecordFiles['readRange'] = (_name, from, length) => {
    looks.push([from, length]);
    return Promise.resolve(content.subarray(from, from + Math.min(length, most)));
  };
  return { looks, files: { readRange } as RecordFiles };
}

describe('lines', () => {
  it('come with their places, wherever a look ends, and the last one says whether it is whole', async () => {
    const line = fc.string({ unit: 'binary', maxLength: 8 }).map((text) => text.replaceAll('\n', ''));
    await fc.assert(
      fc.asyncProperty(fc.array(line), line, fc.integer({ min: 1, max: 20 }), async (whole, rest, most) => {
        const content = Buffer.from(whole.map((text) => `${text}\n`).join('') + rest);
        const found: Line[] = [];
        for await (const some of lineBlocks(fileOf(content, most).files, 'f')) {
          expect(some.length).toBeGreaterThan(0);
          found.push(...some);
        }
        const texts: string[] = [];
        for await (const some of textLines(fileOf(content, most).files, 'f')) texts.push(...some);
        let from = 0;
        const expected = [...whole, ...(rest === '' ? [] : [rest])].map((text, i) => {
          const next = { from, text: Buffer.from(text).toString('utf8'), whole: i < whole.length };
          from += Buffer.byteLength(text) + 1;
          return next;
        });
        expect(
          found.map(({ from, bytes, whole }) => ({ from, text: bytes.toString('utf8'), whole })),
        ).toEqual(expected);
        expect(texts).toEqual(expected.map(({ text }) => text));
      }),
    );
  });
});

describe('a window', () => {
  const size = 2.5 * 2 ** 20;
  const content = Buffer.alloc(size);
  for (let at = 0; at < size; at += 4) content.writeUInt32LE(at, at);

  it('gives the bytes that are asked for, whatever was asked for before', async () => {
    const part = fc.record({
      // Of where the part before ended; some far from it.
      by: fc.oneof(
        fc.constant(0),
        fc.integer({ min: -300, max: 300 }),
        fc.integer({ min: -size, max: size }),
      ),
      length: fc.oneof(fc.nat(400), fc.nat(1_200_000)),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(part, { maxLength: 30 }), async (parts) => {
        const read = createWindow(fileOf(content).files, 'f');
        let last = 0;
        for (const { by, length } of parts) {
          const from = Math.min(size, Math.max(0, last + by));
          const bytes = await read(from, length);
          expect(bytes.equals(content.subarray(from, from + length))).toBe(true);
          last = from + length;
        }
      }),
    );
  });

  it('is read once for all parts in it that follow each other, and no part of it where they do not', async () => {
    for (const gap of [0, 1]) {
      const { looks, files } = fileOf(content);
      const read = createWindow(files, 'f');
      for (let from = 0; from + 1000 < size; from += 1000 + gap) await read(from, 1000);
      expect(looks.slice(0, 2)).toEqual([
        [0, 1000],
        [1000 + gap, 2 ** 20],
      ]);
      expect(looks).toHaveLength(4);
    }
    const { looks, files } = fileOf(content);
    const read = createWindow(files, 'f');
    for (let from = 0; from < 2 ** 20; from += 1000) await read(from, 1000);
    looks.length = 0;
    for (const from of [2_500_000, 100, 2 ** 20 + 1100, 5]) await read(from, 1000);
    expect(looks.map(([, length]) => length)).toEqual([1000, 1000, 1000, 1000]);
  });
});
