import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { openJsonLines } from '../../src/manifest/json-lines.ts';
import { JsonFault, readObject } from '../../src/manifest/json-text.ts';
import type { ManifestOptions } from '../../src/manifest/options.ts';
import type { TableRecord } from '../../src/manifest/table.ts';
import { textOf } from '../../src/manifest/text.ts';
import { readAll, type Whole } from '../fixtures/manifest.ts';

/** The object as `JSON.parse` would make it, or where it breaks off. */
const parsed = (text: string): unknown => {
  try {
    return Object.fromEntries(readObject(text).map(({ name, text }) => [name, JSON.parse(text) as unknown]));
  } catch (error) {
    if (error instanceof JsonFault) return error.at;
    throw error;
  }
};

describe('a JSON object', () => {
  it('is read as JSON.parse reads it', () => {
    fc.assert(
      fc.property(fc.object(), fc.constantFrom(0, 2), (object, indent) => {
        const text = JSON.stringify(object, null, indent);
        expect(parsed(text)).toEqual(JSON.parse(text));
      }),
    );
  });

  it('is taken and refused where JSON.parse takes and refuses it', () => {
    const piece = fc.constantFrom(
      ...'\u00A0{}[],:"ab\\ue0123-.+\t\n '.split(''),
      '"a":',
      'true',
      'null',
      '\\u00e9',
    );
    const damaged = fc.tuple(fc.json(), fc.nat(), piece, fc.nat(2)).map(([json, at, piece, cut]) => {
      const text = `{"k": ${json}}`;
      const place = at % (text.length + 1);
      return text.slice(0, place) + piece + text.slice(place + cut);
    });
    let refused = 0;
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: piece }), damaged), (text) => {
        let expected: unknown;
        try {
          expected = JSON.parse(text);
        } catch {
          refused++;
          expect(parsed(text)).toBeTypeOf('number');
          return;
        }
        const isObject = typeof expected === 'object' && expected !== null && !Array.isArray(expected);
        if (isObject) expect(parsed(text)).toEqual(expected);
        else expect(parsed(text)).toBeTypeOf('number');
      }),
      { numRuns: 2000 },
    );
    expect(refused).toBeGreaterThan(500);
  });

  it('tells where what is wrong begins', () => {
    expect(parsed('{"a": 1,}')).toBe(8);
    expect(parsed('{"a": 01}')).toBe(7);
    expect(parsed("{'a': 1}")).toBe(1);
    expect(parsed('{"a": "x\ty"}')).toBe(6);
    expect(parsed('{"a": "\\x"}')).toBe(6);
    expect(parsed('{"a": 1')).toBe(7);
    expect(parsed('{"a": NaN}')).toBe(6);
    expect(parsed('{"a": 1} {}')).toBe(9);
    expect(parsed(`{"a": ${'['.repeat(100_000)}`)).toBeTypeOf('number');
  });

  it('of twelve megabytes is read', () => {
    const long = 'x'.repeat(12_000_000);
    expect(readObject(`{"a": "${long}"}`)).toEqual([{ name: 'a', text: `"${long}"`, at: 6 }]);
  });
});

const table = async (text: string, map: Record<string, string> = {}) => {
  const table = await openJsonLines(textOf(text), map);
  const records: TableRecord[] = [];
  for await (const some of table?.records(() => undefined) ?? []) records.push(...some);
  return { header: table?.header, problems: table?.problems, records };
};
const cells = async (text: string): Promise<string[][]> =>
  (await table(text)).records.map(({ cells }) => cells);
const flaws = async (text: string): Promise<(number | string | undefined)[][]> =>
  (await table(text)).records.map(({ flaw }) => [flaw?.line, flaw?.column, flaw?.problem]);

describe('JSON Lines', () => {
  it('have all names as columns, in order of appearance, and lines as they are in the file', async () => {
    const read = await table('\n{"id": "1", "image": "a"}\r\n\r\n{}\r\n{"prompt": "p", "id": "2"}\n');
    expect(read.header).toEqual(['id', 'image', 'prompt']);
    expect(read.records).toEqual([
      { line: 2, cells: ['1', 'a'] },
      { line: 5, cells: ['2', '', 'p'] },
    ]);
    expect((await table('{"Caf\u00E9": "1"}\n{"Cafe\u0301 ": "2"}')).header).toEqual(['Caf\u00E9']);
  });

  it('keep numbers as they are written, and lists and objects as JSON', async () => {
    expect(
      await cells('{"id": 123456789012345678901234, "a": 1e5, "b": 0.10, "c": true, "d": null, "e": "1E5"}'),
    ).toEqual([['123456789012345678901234', '1e5', '0.10', 'true', '', '1E5']]);
    expect(await cells('{"a": {"b": [1, 2.50]}, "c": ["x"]}')).toEqual([['{"b": [1, 2.50]}', '["x"]']]);
  });

  it('take a list of pictures, also where --map names its column', async () => {
    expect(await cells('{"image_urls": ["a.jpg", "b.jpg"]}')).toEqual([['a.jpg|b.jpg']]);
    expect((await table('{"Foto": ["a.jpg", "b.jpg"]}', { image: 'Foto' })).records[0]?.cells).toEqual([
      'a.jpg|b.jpg',
    ]);
    expect(await flaws('{"image": ["a|b.jpg"]}')).toEqual([[1, 'image', expect.stringContaining('holds |')]]);
    expect(await flaws('{"image": [1]}')).toEqual([[1, 'image', expect.stringContaining('no text')]]);
  });

  it('with something else than a text where one is paid for are findings', async () => {
    expect(await flaws('{"prompt": ["x"]}\n{"id": {"a": 1}}\n{"image": {"src": "a"}}')).toEqual([
      [1, 'prompt', 'this is a list, but the prompt is a text'],
      [2, 'id', 'this is an object, but the id is a text'],
      [3, 'image', 'this is an object, but the image is a text'],
    ]);
  });

  it('tell what is wrong with each line, and read the others', async () => {
    const long = 'x'.repeat(1024 * 1024 + 1);
    const lines = [
      '{"id": 1, "id": 2}',
      '{"id": 1,}',
      '[1]',
      '{"": 1}',
      '{"a": "\\u0000"}',
      '{"a": "\\ud800"}',
      `{"a": "${long}"}`,
      `{"image": "data:image/png;base64,${long}"}`,
      '{"id": "ok"}',
    ];
    expect(await flaws(lines.join('\n'))).toEqual([
      [1, 'id', 'the object has this name twice'],
      [2, undefined, expect.stringContaining('at character 10')],
      [3, undefined, expect.stringContaining('no object')],
      [4, undefined, 'a name is empty'],
      [5, 'a', expect.stringContaining('NUL')],
      [6, 'a', expect.stringContaining('NUL')],
      [7, 'a', expect.stringContaining('1 MB')],
      [undefined, undefined, undefined],
      [undefined, undefined, undefined],
    ]);
  });

  it('in one document, or with endless names, are refused once', async () => {
    for (const text of ['[\n{"id": 1}\n]', '{\n"id": 1\n}', '[{"id": 1}]']) {
      expect(await table(`\n${text}`)).toMatchObject({ header: [], records: [], problems: [{ line: 2 }] });
    }
    const names = Array.from({ length: 1001 }, (_, i) => `{"n${i}": 1}`).join('\n');
    expect(await table(names)).toMatchObject({ header: [], records: [], problems: [{ line: 1001 }] });
  });
});

const folder = mkdtempSync(join(tmpdir(), 'manifest-json-'));
afterAll(() => rmSync(folder, { recursive: true }));
writeFileSync(join(folder, 'a.png'), Buffer.from('\x89PNG\r\n\x1A\n....', 'latin1'));

let count = 0;
const read = (text: string | Buffer, options: Partial<ManifestOptions> = {}): Promise<Whole> => {
  const file = join(folder, `m${++count}.jsonl`);
  writeFileSync(file, text);
  return readAll(file, options);
};

describe('a manifest in JSON Lines', () => {
  it('becomes the rows that a CSV would become', async () => {
    const lines =
      '{"sku": 123456789012345678, "image": ["a.png"], "Title": "Löwe", "__proto__": "x", "status": 7}\n';
    for (const text of [
      lines,
      `\uFEFF${lines}`,
      Buffer.from(`\uFEFF${lines}`, 'utf16le'),
      Buffer.from(lines.replace('ö', '\xF6'), 'latin1'),
    ]) {
      const encoding = Buffer.isBuffer(text) && text[0] === 0x7b ? 'windows-1252' : undefined;
      const { rows, findings, manifest } = await read(text, { prompt: '{{Title}} {{__proto__}}', encoding });
      expect(findings).toEqual([]);
      expect(manifest.columns).toEqual(['Title', '__proto__', 'col_status']);
      expect(rows).toMatchObject([
        { id: '123456789012345678', line: 1, prompt: 'Löwe x', pictures: [{ path: join(folder, 'a.png') }] },
      ]);
      expect(Object.entries(rows[0]!.columns)).toEqual([
        ['Title', 'Löwe'],
        ['__proto__', 'x'],
        ['col_status', '7'],
      ]);
    }
  });

  it('of which no line can be read says nothing of columns', async () => {
    const { findings, rows, manifest } = await read('{\'a\': 1}\n{"b"}\n');
    expect(findings.map(({ line }) => line)).toEqual([1, 2]);
    expect([rows.length, manifest.unskippable]).toEqual([2, false]);
  });

  it('notes a name that is there in two cases, since one of them isn’t read', async () => {
    const { manifest } = await read('{"id": "1", "image": "a.png"}\n{"ID": "2", "image": "a.png"}\n', {
      prompt: 'x',
    });
    expect(manifest.notes).toMatchObject([
      { column: 'id', remedy: expect.stringContaining('--map id="ID"') },
    ]);
  });

  it('may be called anything with --format, is no failed.csv, and is not empty', async () => {
    const file = join(folder, 'm.txt');
    writeFileSync(file, '{"id": "\'=1", "image": "a.png", "prompt": "x", "error_code": "e"}');
    for (const format of ['jsonl', 'NDJSON']) {
      const { rows, manifest } = await readAll(file, { format });
      expect([manifest.retry, rows[0]?.id, rows[0]?.columns]).toEqual([
        false,
        "'=1",
        { col_error_code: 'e' },
      ]);
    }
    await expect(read('\n\n')).rejects.toThrow(/is empty: write a JSON object a line/);
    await expect(read(Buffer.from('{"a": "\xF6"}', 'latin1'))).rejects.toThrow(/--encoding windows-1252/);
  });
});
