import { describe, expect, it } from 'vitest';
import { createContents } from '../../src/records/content.ts';
import type { RecordFiles } from '../../src/records/files.ts';

describe('notes of finished work', () => {
  const fingerprint = `ab${'0'.repeat(62)}`;
  const name = `.reshoot/done/ab/${fingerprint}.json`;

  function contents(files: Map<string, string>): ReturnType<typeof createContents> {
    const of: Pick<RecordFiles, 'read' | 'create'> = {
      read: (name) => Promise.resolve(files.has(name) ? Buffer.from(files.get(name)!) : undefined),
      create: (name, content) => Promise.resolve(!files.has(name) && Boolean(files.set(name, content))),
    };
    return createContents(of as RecordFiles);
  }

  it('lie where every version looks for them; the first one stands', async () => {
    const files = new Map<string, string>();
    const notes = contents(files);
    expect(await notes.find(fingerprint)).toBeUndefined();
    await notes.note(fingerprint, { id: 'chair', n: 2 });
    await notes.note(fingerprint, { id: 'lamp', n: 1 });
    expect([...files]).toEqual([[name, '{"v":1,"id":"chair","n":2}\n']]);
    expect(await notes.find(fingerprint)).toMatchObject({ id: 'chair', n: 2 });
  });

  it.each(['', '{"v":1,"id":"ch', '{"v":2,"id":"chair","n":2}', '{"v":1,"id":"chair","n":0}', '[]'])(
    'that are damaged are none: %j',
    async (text) => expect(await contents(new Map([[name, text]])).find(fingerprint)).toBeUndefined(),
  );
});
