import { describe, expect, it } from 'vitest';
import { createContents } from '../../src/records/content.ts';
import type { RecordFiles } from '../../src/records/files.ts';

describe('notes of who took a content on', () => {
  const fingerprint = `ab${'0'.repeat(62)}`;
  const name = `.reshoot/done/ab/${fingerprint}.json`;

  function contents(files: Map<string, string>): ReturnType<typeof createContents> {
    const of: Pick<RecordFiles, 'read' | 'create'> = {
      read: (name) => Promise.resolve(files.has(name) ? Buffer.from(files.get(name)!) : undefined),
      create: (name, content) => Promise.resolve(!files.has(name) && Boolean(files.set(name, content))),
    };
    return createContents(of as RecordFiles);
  }

  const chair = { id: 'chair', run: 'r1', row: 2 };
  const lamp = { id: 'lamp', run: 'r2', row: 1 };

  it('stand one after the other; who comes too late has taken nothing', async () => {
    const files = new Map<string, string>();
    const notes = contents(files);
    expect(await notes.takers(fingerprint)).toEqual([]);
    expect(await notes.take(fingerprint, chair, 0)).toBe(true);
    expect(await notes.take(fingerprint, lamp, 0)).toBe(false);
    expect(await notes.take(fingerprint, lamp, 1)).toBe(true);
    expect(await notes.takers(fingerprint)).toMatchObject([chair, lamp]);
    expect([...files]).toEqual([
      [name, '{"v":2,"id":"chair","run":"r1","row":2}\n'],
      [name.replace('.json', '.2.json'), '{"v":2,"id":"lamp","run":"r2","row":1}\n'],
    ]);
  });

  it('of the first version tell whose calls to look at', async () => {
    const notes = contents(new Map([[name, '{"v":1,"id":"chair","n":2}\n']]));
    expect(await notes.takers(fingerprint)).toEqual([{ id: 'chair' }]);
    expect(await notes.take(fingerprint, chair, 0)).toBe(false);
  });

  it.each(['{"v":1,"id":"ch', '{"v":3,"id":"chair","n":2}', '{"v":1,"id":"chair","n":0}', '[]'])(
    'that are damaged tell nothing, and let others follow: %j',
    async (text) => {
      const notes = contents(new Map([[name, text]]));
      expect(await notes.takers(fingerprint)).toEqual([{}]);
      expect(await notes.take(fingerprint, chair, 1)).toBe(true);
    },
  );
});
