import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import * as fc from 'fast-check';
import { afterEach, expect, it, vi } from 'vitest';
import { createLongList } from '../../src/long-list.ts';
import { SurroundingsError } from '../../src/errors.ts';
import { createScratch } from '../../src/scratch.ts';

afterEach(() => vi.unstubAllEnvs());

const megabyte = 2 ** 20;

it('scratch gives back what was written, at any place and in any order, also what is not on the disk yet', () => {
  const pieces = fc.array(fc.tuple(fc.string({ unit: 'binary', maxLength: 30 }), fc.nat({ max: 100_000 })), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(pieces, fc.infiniteStream(fc.nat()), (pieces, chance) => {
      const scratch = createScratch();
      const texts = pieces.map(([text, times]) => `${text}${'é'.repeat(times)}`);
      const places = texts.map((text) => {
        const from = scratch.append(text);
        const length = scratch.bytes - from;
        if ((chance.next().value ?? 0) % 3 === 0) expect(String(scratch.read(from, length))).toBe(text);
        return { from, length };
      });
      for (const [i, { from, length }] of [...places.entries()].toReversed())
        expect(String(scratch.read(from, length)) === texts[i]).toBe(true);
      const blocks = Array.from(scratch.blocks(), (block) => Buffer.from(block));
      expect(Buffer.concat(blocks).equals(Buffer.from(texts.join('')))).toBe(true);
      scratch.close();
    }),
    { numRuns: 20 },
  );
});

it('scratch that is gone through takes the memory of one block', () => {
  const scratch = createScratch();
  for (let i = 0; i < 8; i++) scratch.append('x'.repeat(megabyte));
  const places = Array.from(scratch.blocks(), ({ buffer }) => buffer);
  expect(places.length).toBeGreaterThan(8);
  expect(new Set(places).size).toBe(1);
  scratch.close();
});

it('a long list keeps its items and leaves no file behind', () => {
  const mine = (): string[] => readdirSync(tmpdir()).filter((name) => /^reshoot-[0-9a-f-]{36}$/.test(name));
  const before = mine();
  const list = createLongList<{ id: string; n: number }>();
  const items = Array.from({ length: 30_000 }, (_, n) => ({ id: `第${n}行\n"'`, n }));
  for (const item of items) list.push(item);
  expect(list.length).toBe(items.length);
  expect(mine()).toEqual(before);
  expect([...list]).toEqual(items);
  expect([...list].length).toBe(items.length);
  const some = [0, 31, 32, 20_001, items.length - 1, items.length];
  expect(some.map((n) => list.at(n))).toEqual(some.map((n) => items[n]));
  list.close();
});

it('scratch that finds no room for its file says which folder it is about', () => {
  vi.stubEnv('TMPDIR', '/nowhere/at/all');
  const scratch = createScratch();
  expect(() => scratch.append('x'.repeat(megabyte))).toThrow(SurroundingsError);
  expect(() => scratch.append('x'.repeat(megabyte))).toThrow(
    /\/nowhere\/at\/all; TMPDIR names another.*ENOENT/,
  );
});
