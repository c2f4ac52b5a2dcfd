import { rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { createRig, picture, small, type Rig, type RigOptions } from '../fixtures/rig.ts';

const rows = 4;
let rig: Rig;
let file: string;
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig(options);
  file = join(rig.dir, 'catalogue.csv');
  for (let i = 0; i < rows; i++) await writeFile(photo(i), await picture());
  await named('chair');
};
afterEach(() => rig.close());

const photo = (i: number): string => join(rig.dir, 'pictures', `${i}.png`);

/** Writes the catalogue with ids that begin so. */
async function named(id: string): Promise<void> {
  const lines = Array.from({ length: rows }, (_, i) => `${id}-${i},pictures/${i}.png,scene ${i}\n`);
  await writeFile(file, `id,image,prompt\n${lines.join('')}`);
}

async function touchAll(): Promise<void> {
  for (let i = 0; i < rows; i++) await utimes(photo(i), 1_000_000_000, 1_000_000_000);
}

/** Makes all photos holes of the same length, date and inode: whoever reads one finds no picture in it. */
async function emptyAll(): Promise<void> {
  for (let i = 0; i < rows; i++) {
    const { size, atime, mtime } = await stat(photo(i));
    await truncate(photo(i), 0);
    await truncate(photo(i), size);
    await utimes(photo(i), atime, mtime);
  }
}

/** What `check` says of credits and changes, and what a run then paid. */
async function night(...args: string[]) {
  const checked = await rig.run(['check', file, ...small, '--json', ...args]);
  const { credits, changes } = JSON.parse(checked.stdout);
  const before = rig.simulator.calls.length;
  const { code } = await rig.run(['run', file, ...small, ...args]);
  const paid = rig.simulator.calls.length - before;
  return { code, paid, least: credits.at_least, most: credits.at_most, changes };
}

it('pictures with another date or under other ids are read once, and count as unchanged from then on', async () => {
  await open();
  expect(await night()).toMatchObject({ code: 0, paid: rows, least: rows });
  await touchAll();
  const text = await rig.run(['check', file, ...small]);
  expect(text.stdout).toContain('4 rows may be done already: a picture has only another date');
  expect(await night()).toMatchObject({ code: 0, paid: 0, least: 0, changes: { unchanged: [] } });
  await emptyAll();
  const unchanged = { code: 0, paid: 0, least: 0, most: 0, changes: { unchanged: { length: rows } } };
  expect(await night()).toMatchObject(unchanged);
  await named('stool');
  expect(await night()).toMatchObject({ ...unchanged, changes: { added: [], gone: { length: rows } } });
  expect((await rig.results()).map(({ status }) => status)).toEqual(Array(rows).fill('skipped'));
});

it('a picture that is gone from the output is to be paid again, and one that was moved aside is not', async () => {
  await open({ except: { I7: 'a picture is deleted' } });
  expect(await night()).toMatchObject({ paid: rows });
  await rm(join(rig.out, 'chair-1.jpg'));
  expect(await night('--name', 'web/{id}.{ext}')).toMatchObject({
    code: 0,
    paid: 1,
    least: 1,
    changes: { changed: [{ id: 'chair-1', what: ['output'] }], unchanged: { length: rows - 1 } },
  });
  await rm(join(rig.out, 'chair-2.jpg'));
  expect(await night('--name', 'web/{id}.{ext}')).toMatchObject({ paid: 0, least: 0, most: 0 });
});
