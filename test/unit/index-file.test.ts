import { describe, expect, it } from 'vitest';
import { keyOf } from '../../src/records/call.ts';
import type { RecordFiles } from '../../src/records/files.ts';
import {
  factsOf,
  loadIndex,
  readCalls,
  readHead,
  spanOf,
  toBucketLine,
  toLine,
} from '../../src/records/index-file.ts';
import { callOf, endings } from '../fixtures/call.ts';

/** An index in memory, of which each look gives so many bytes at most; `read` is told where it looked. */
function fileOf(text: string, most = Infinity, read?: (from: number) => void) {
  const file = { bytes: Buffer.from(text), changedMs: 1 };
  const files: Pick<RecordFiles, 'stat' | 'readRange'> = {
    stat: () => Promise.resolve({ bytes: file.bytes.length, changedMs: file.changedMs }),
    readRange: (_name, from, length) => {
      read?.(from);
      return Promise.resolve(file.bytes.subarray(from, from + Math.min(length, most)));
    },
  };
  return { file, files: files as RecordFiles };
}

const line = (id: string): string => toLine(keyOf(id), 5.25, [callOf({ id, closed: endings.picture })]);
const bytes = (text: string): Buffer => Buffer.from(text.trimEnd());

describe('the index', () => {
  it('finds each of a thousand lines and more, and what stands in it', async () => {
    const at = Date.parse('2026-11-01T10:00:00.000Z');
    const rows = Array.from({ length: 1100 }, (_, i) => {
      const started_at = new Date(at + i).toISOString();
      const calls = [callOf({ id: `row-${i}`, run: `r${i % 3}`, started_at, closed: endings.picture })];
      return { key: keyOf(`row-${i}`), changedMs: i + 0.5, calls };
    });
    const text = rows.map(({ key, changedMs, calls }) => toLine(key, changedMs, calls)).join('');
    const index = await loadIndex(fileOf(text, 50_001).files);
    const found = rows.map(({ key }, i) => {
      const { from, length } = spanOf(index, i);
      const bytes = Buffer.from(text.slice(from, from + length));
      const [facts, calls] = [factsOf(index, i), readCalls(bytes, key)];
      return { line: index.lines.get(key), facts, head: readHead(bytes), calls };
    });
    const expected = rows.map(({ key, changedMs, calls }, i) => {
      const facts = { at: at + i, run: `r${i % 3}`, pictures: 1 };
      return { line: i, facts, head: { key, changedMs, ...facts }, calls };
    });
    expect(found).toEqual(expected);
    expect(index.count).toBe(1100);
    expect(index.runs).toEqual(['r0', 'r1', 'r2']);
  });

  it('takes no line that has something before or behind it, and nothing for the line of a bucket', async () => {
    expect(readHead(bytes(line('chair')))).toBeDefined();
    expect(readHead(bytes(`x${line('chair')}`))).toBeUndefined();
    expect(readCalls(bytes(`x${line('chair')}`), keyOf('chair'))).toBeUndefined();
    expect(readCalls(bytes(line('chair')), keyOf('lamp'))).toBeUndefined();
    expect(readCalls(bytes(line('chair').replace('on white', 'on black')), keyOf('chair'))).toBeUndefined();
    const bucket = toBucketLine({ bucket: 'ab', changedMs: 7.5 });
    const bucketsOf = async (text: string) =>
      Object.fromEntries((await loadIndex(fileOf(text).files)).buckets);
    expect(await bucketsOf(line('chair') + bucket)).toEqual({ ab: 7.5 });
    for (const text of [`x${bucket}`, bucket.replace('}', '},'), bucket.slice(0, -2), `${bucket}x`])
      expect([text, await bucketsOf(text)]).toEqual([text, {}]);
  });

  it('is read again where another process replaced it under way', async () => {
    const [chair, lamp] = [line('chair'), line('lamp')];
    const { file, files } = fileOf(chair + lamp, chair.length, (from) => {
      if (from > 0 && file.changedMs === 1)
        Object.assign(file, { bytes: Buffer.from(lamp + chair), changedMs: 2 });
    });
    const index = await loadIndex(files);
    expect([index.lines.get(keyOf('lamp')), index.lines.get(keyOf('chair'))]).toEqual([0, 1]);
  });
});
