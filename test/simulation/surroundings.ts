/** What a history replaces: everything by which the product touches the world. */
import type * as crypto from 'node:crypto';
import type * as fs from 'node:fs';
import type * as fsPromises from 'node:fs/promises';
import { vi } from 'vitest';
import type * as thumbs from '../../src/batch/thumbs.ts';
import { EditError } from '../../src/errors.ts';
import type * as owner from '../../src/owner.ts';
import type * as page from '../../src/report/page.ts';
import { isSimulated, outputUri, sha256 } from './disk.ts';
import { fileOf, pictureAt } from './pictures.ts';
import { isOn, world } from './stage.ts';

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof fsPromises>();
  return {
    ...real,
    rename: (from: string, to: string) =>
      isSimulated(from) ? world().disk.rename(from, to) : real.rename(from, to),
    rm: (path: string, options: object) =>
      isSimulated(path) ? world().disk.rm(path) : real.rm(path, options),
    stat: (path: string) => (isSimulated(path) ? world().disk.stat(path) : real.stat(path)),
  };
});
vi.mock('node:fs', async (original) => {
  const real = await original<typeof fs>();
  return {
    ...real,
    createReadStream: (path: string) =>
      isSimulated(path) ? world().disk.stream(path) : real.createReadStream(path),
  };
});
vi.mock('node:timers/promises', async () => ({ setTimeout: (await import('./stage.ts')).sleep }));
vi.mock('node:crypto', async (original) => {
  const real = await original<typeof crypto>();
  const randomBytes = (size: number): Buffer =>
    isOn()
      ? Buffer.from(Array.from({ length: size }, () => Math.floor(world().sim.random() * 256)))
      : real.randomBytes(size);
  return { ...real, randomBytes, randomUUID: () => randomBytes(16).toString('hex') };
});
vi.mock('bullmq', () => import('./bull.ts'));
vi.mock('../../src/owner.ts', async (original) => ({
  ...(await original<typeof owner>()),
  self: (await import('./stage.ts')).self,
  livesHere: (other: owner.Owner) => world().livesHere(other),
}));
vi.mock('../../src/batch/desks.ts', () => ({ openDesks: () => world().openDesks() }));
vi.mock('../../src/storage/open.ts', () => {
  const open = () => Promise.resolve(world().disk.storage);
  const outputFolder = () => outputUri;
  return { openStorage: open, findStorage: open, lookAtStorage: open, outputFolder };
});
vi.mock('../../src/batch/sound-redis.ts', () => ({ expectSoundRedis: () => Promise.resolve([]) }));
vi.mock('../../src/storage/room.ts', () => ({ freeBytes: () => Promise.resolve(Infinity) }));
vi.mock('../../src/api/client.ts', () => ({ createClient: () => world().api.client }));
vi.mock('../../src/image/verify.ts', () => ({
  createVerifier: () => ({
    verify: (file: string) =>
      world().sim.ask('decode', () => {
        const isWhole = world().disk.contentOf(file)?.toString().startsWith('picture');
        if (!isWhole) throw new EditError('not_a_picture', 'simulated');
        return { mime: 'image/jpeg', ext: 'jpg', width: 1024, height: 1024, verified: true };
      }),
    close: () => Promise.resolve(),
  }),
}));
vi.mock('../../src/image/preparer.ts', () => ({
  createPreparer: () => ({
    inspect: (pictures: unknown[]) => Promise.resolve(pictures.map(() => ({ needs: [] }))),
    prepare: ({ path }: { path: string }) =>
      world().sim.ask(`read ${path}`, () => {
        const bytes = pictureAt(path);
        return { bytes, source: { ...fileOf(path.slice(-1)), sha256: sha256(bytes) }, changes: [] };
      }),
    close: () => Promise.resolve(),
  }),
}));
vi.mock('../../src/batch/thumbs.ts', async (original) => ({
  ...(await original<typeof thumbs>()),
  createEarlyThumbs: () => ({ add: () => undefined, close: () => Promise.resolve() }),
  makeThumbs: () => Promise.resolve(new Set()),
}));

vi.mock('../../src/report/page.ts', async (original) => ({
  ...(await original<typeof page>()),
  // Its real one reads files of this machine, in this machine's time.
  async *pageHtml(rows: AsyncIterable<unknown>) {
    for await (const _row of rows);
    yield 'a page';
  },
}));
