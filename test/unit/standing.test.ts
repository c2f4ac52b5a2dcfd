import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { lookAtNames } from '../../src/batch/standing.ts';
import { folded } from '../../src/manifest/names.ts';
import type { Storage } from '../../src/storage/storage.ts';

/** As much of a storage as is looked at. */
function storageOf(names: string[]): { storage: Storage; scans: string[] } {
  const scans: string[] = [];
  const scan = async function* (folder: string): AsyncGenerator<string> {
    scans.push(folder);
    const start = folder === '' ? '' : `${folder}/`;
    const below = names.flatMap((name) => (name.startsWith(start) ? name.slice(start.length) : []));
    yield* new Set(below.map((name) => name.replace(/\/.*/s, '/')));
  };
  return { storage: { scan } as unknown as Storage, scans };
}

const stem = (name: string): string => folded(name.replace(/\.[^./]*$/, ''));

it('files that differ from a name by extension, case or Unicode form alone are found, whatever is guessed', () => {
  const part = fc.constantFrom('a', 'A', 'é', 'e\u0301', 'straße', 'STRASSE', 'b.c', 'b.d');
  const ending = fc.constantFrom('', '.jpg', '.PNG', '.{ext}');
  const name = fc
    .tuple(fc.constantFrom('', 'x/', 'x/y/'), part, ending)
    .map(([folder, name, ext]) => `${folder}${name}${ext}`);
  return fc.assert(
    fc.asyncProperty(fc.uniqueArray(name), fc.array(name), fc.array(name), async (there, asked, guesses) => {
      const standing = lookAtNames(storageOf(there).storage);
      for (const name of asked) {
        const folder = name.slice(0, name.lastIndexOf('/') + 1);
        const alike = there.filter(
          (other) => other.slice(0, other.lastIndexOf('/') + 1) === folder && stem(other) === stem(name),
        );
        expect((await standing.alike(name, guesses)).toSorted()).toEqual(alike.toSorted());
      }
    }),
  );
});

it('a folder is gone through once, however many names are asked for', async () => {
  const names = Array.from({ length: 2000 }, (_, i) => `goods/${i}.jpg`);
  const { storage, scans } = storageOf(names);
  const standing = lookAtNames(storage);
  for (const name of names) expect(await standing.alike(name, [name])).toEqual([name]);
  expect(await standing.alike('goods/none.jpg', [])).toEqual([]);
  expect(scans).toEqual(['goods']);
});
