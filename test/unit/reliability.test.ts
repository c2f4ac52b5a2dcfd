import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'RELIABILITY.md'), 'utf8');

/** `F9, F10 …` and `F1–F5 …` at the beginning of a text. */
function faultsOf(text: string): number[] {
  const [heads = ''] = /^(F\d+(?:–F\d+)?(?:, )?)+/.exec(text) ?? [];
  return [...heads.matchAll(/F(\d+)(?:–F(\d+))?/g)].flatMap(([, from, to = from]) =>
    Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => Number(from) + i),
  );
}

it('every fault that RELIABILITY.md tells of is played by a test that is named by it', () => {
  const told = page.split('\n').flatMap((line) => faultsOf(line.replace(/^\| /, '')));
  const files = ['faults', 'edge'].flatMap((folder) =>
    readdirSync(join(root, 'test', folder)).map((name) => join(root, 'test', folder, name)),
  );
  const names = files
    .filter((file) => file.endsWith('.test.ts'))
    .flatMap((file) => readFileSync(file, 'utf8').match(/['"`](F\d[^'"`]*)/g) ?? []);
  const played = new Set(names.flatMap((name) => faultsOf(name.slice(1))));
  expect(told.length).toBeGreaterThan(40);
  expect(told.filter((fault) => !played.has(fault))).toEqual([]);
});
