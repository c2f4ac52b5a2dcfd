import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDraft } from '../../src/batch/draft.ts';
import type { Row } from '../../src/model.ts';
import { rowOf } from '../fixtures/row.ts';

const draftOf = (rows: Row[]) => {
  const draft = createDraft();
  for (const row of rows) draft.add(row);
  return draft;
};

describe('a draft', () => {
  it('gives its rows back, in order and by their ids', () => {
    const text = fc.string({ unit: 'binary' });
    fc.assert(
      fc.property(fc.uniqueArray(text, { maxLength: 20 }), text, (ids, prompt) => {
        const rows = ids.map((id, i) => rowOf(i + 1, { id, prompt, replaces: [id] }));
        const draft = draftOf(rows);
        expect([...draft.all()]).toEqual(rows);
        expect(draft.rows).toBe(rows.length);
        const byId = draft.byId();
        for (const row of rows) expect(byId(row.id)).toEqual(row);
        expect(byId('none of them, surely')).toBeUndefined();
        draft.close();
      }),
    );
  });

  it('asks for the same where only lines have moved or something stands in the way', () => {
    const asked = (over: Partial<Row>): string => draftOf([rowOf(1), rowOf(2, over)]).asked();
    const same = asked({});
    expect(asked({ line: 99 })).toBe(same);
    expect(asked({ replaces: ['a.jpg'] })).toBe(same);
    const others: Partial<Row>[] = [
      { prompt: 'on grey' },
      { route: 2 },
      { output: 'b.{ext}' },
      { selected: false },
      { invalid: 'no picture' },
      { columns: { title: 'x' } },
      { pictures: [{ kind: 'file', path: '/photos/a.jpg', bytes: 9, mtimeMs: 1.5, ino: 7 }] },
    ];
    for (const other of others) expect([other, asked(other)]).not.toEqual([other, same]);
  });

  it('keeps embedded pictures apart, each once, and counts what is to be done', () => {
    const draft = draftOf([rowOf(1), rowOf(2, { selected: false }), rowOf(3, { invalid: 'no picture' })]);
    draft.add(rowOf(4), true);
    expect([draft.chosen, draft.done, draft.hasEmbedded]).toEqual([2, [4], false]);
    const pictures = Array.from({ length: 5 }, (_, i) => Buffer.alloc(300_000 * i, i));
    for (const [i, bytes] of [...pictures, ...pictures].entries()) draft.embed(`sha-${i % 5}`, bytes);
    for (const [i, bytes] of pictures.entries()) expect(draft.embedded(`sha-${i}`)?.equals(bytes)).toBe(true);
    expect(draft.embedded('sha-9')).toBeUndefined();
    expect(draft.hasEmbedded).toBe(true);
    draft.close();
  });
});
