import { appendFileSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { knownColumns } from '../../src/manifest/columns.ts';
import { openCsv } from '../../src/manifest/csv.ts';
import { openJsonLines } from '../../src/manifest/json-lines.ts';
import { readManifest } from '../../src/manifest/read.ts';
import type { Parts } from '../../src/manifest/source.ts';
import type { Table } from '../../src/manifest/table.ts';
import { openText, type Text } from '../../src/manifest/text.ts';
import { manifestDefaults, readAll } from '../fixtures/manifest.ts';

const folder = mkdtempSync(join(tmpdir(), 'manifest-stream-'));
afterAll(() => rmSync(folder, { recursive: true }));
const put = (name: string, content: string | Buffer): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
put('a.png', Buffer.from('\x89PNG\r\n\x1A\n....', 'latin1'));

/** Bytes cut at these places. */
const cutAt = (bytes: Buffer, places: number[]): Parts<Buffer> =>
  async function* () {
    const borders = [0, ...places.toSorted((a, b) => a - b), bytes.length];
    for (const [at, border] of borders.entries()) yield bytes.subarray(border, borders[at + 1]);
  };

type Open = (text: Text) => Promise<Table | undefined>;
const csv: Open = (text) => openCsv(text, knownColumns({}));
const json: Open = (text) => openJsonLines(text, {});

/** All that a table tells, or why it is none. */
const readTable = async (bytes: Parts<Buffer>, open: Open, encoding?: string): Promise<unknown> => {
  try {
    const table = await open(await openText(bytes, 'm', encoding));
    const problems = [...(table?.problems ?? [])];
    const records: unknown[] = [];
    for await (const some of table?.records((problem) => problems.push(problem)) ?? []) records.push(...some);
    return { header: table?.header, line: table?.line, problems, records };
  } catch (error) {
    return String(error);
  }
};

/** Reads the bytes cut in two at every place, and one by one, and expects the same as of the whole. */
const expectSame = async (bytes: Buffer, open: Open, encoding?: string): Promise<unknown> => {
  const whole = await readTable(cutAt(bytes, []), open, encoding);
  const single = cutAt(bytes, [...bytes.keys()]);
  expect(await readTable(single, open, encoding)).toEqual(whole);
  for (const at of bytes.keys()) {
    expect(await readTable(cutAt(bytes, [at]), open, encoding), `cut at ${at}`).toEqual(whole);
  }
  return whole;
};

const tables: Record<string, string> = {
  'with all line ends':
    '\r\n\r\nid,prompt,"n,o"\r\n1,"a\r\nb ""x"" é提🙂",\n\r\n,,\n"2",12" tv,\r\r\n3,"12" tv",x\r\n4,y,"z"',
  'of old Macs': '\rid;prompt\r1;"a\r\rb"\r\r2;提示\r',
  'with an open quotation mark': 'id,prompt\n1,"a\nb"\n\n\n2,"c\n3,d\n',
  'of one line': 'sku\timage',
  'of nothing': '\r\n \n',
};

describe('a table in parts', { timeout: 20_000 }, () => {
  for (const [name, text] of Object.entries(tables)) {
    it(`${name} is read like the whole, wherever it is cut`, async () => {
      const read = await expectSame(Buffer.from(text), csv);
      for (const [encoding, bytes] of [
        [undefined, Buffer.from(`\uFEFF${text}`)],
        [undefined, Buffer.from(`\uFEFF${text}`, 'utf16le')],
        [undefined, Buffer.from(`\uFEFF${text}`, 'utf16le').swap16()],
        ['utf-16le', Buffer.from(text, 'utf16le')],
      ] as const) {
        expect(await expectSame(bytes, csv, encoding)).toEqual(read);
      }
    });
  }

  it('in an old encoding is read or refused like the whole', async () => {
    const gb18030 = Buffer.from(
      '69642c70726f6d70740a312ccce1cabeb4ca0a322c8130813481308130ff'.slice(0, -2),
      'hex',
    );
    expect(await expectSame(gb18030, csv, 'gb18030')).toMatchObject({ records: [{ line: 2 }, { line: 3 }] });
    expect(await expectSame(gb18030, csv)).toMatch(/line 2 is not UTF-8.*提示词/);
    const western = Buffer.from('id,prompt\n1,caf\xE9 \x93rouge\x94 10 \x80', 'latin1');
    expect(await expectSame(western, csv, 'windows-1252')).toMatchObject({
      records: [{ cells: ['1', 'café “rouge” 10 €'] }],
    });
    expect(await expectSame(western, csv)).toMatch(/WINDOWS-1252 reads "1,café “rouge” 10 €"/);
    expect(await expectSame(Buffer.from('id,a\n1,é').subarray(0, -1), csv)).toMatch(/line 2 is not UTF-8/);
    expect(await expectSame(Buffer.from('id,a\n1,x\n2,\0'), csv)).toMatch(/line 3 holds NUL/);
  });

  it('of JSON is read like the whole', async () => {
    const lines = '\n\r{"id": 1}\r\n{"id": "é\\u00e9", "b": [1,\t2]}\r\r\n{"id":}\n\n{"提": {"x": "🙂"}}';
    expect(await expectSame(Buffer.from(lines), json)).toMatchObject({
      header: ['id', 'b', '提'],
      records: [{ line: 3 }, { line: 4 }, { line: 6, flaw: { line: 6 } }, { line: 8 }],
    });
    expect(await expectSame(Buffer.from('[\n{"id": 1}\n]'), json)).toMatchObject({ header: [] });
  });

  it('of any text is read like the whole', async () => {
    const unit = fc.constantFrom('a', '"', '""', ',', '\n', '\r\n', '\r', ' ', 'é', '🙂', '\u2028');
    const cuts = fc.array(fc.nat(100), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(fc.string({ unit, maxLength: 60 }), cuts, async (text, cuts) => {
        const bytes = Buffer.from(`id,b\n${text}`);
        const places = cuts.map((at) => Math.min(at, bytes.length));
        expect(await readTable(cutAt(bytes, places), csv)).toEqual(await readTable(cutAt(bytes, []), csv));
      }),
      { numRuns: 200 },
    );
  });
});

it('a manifest written in any dialect is read back as it was', { timeout: 20_000 }, async () => {
  const text = fc.string({
    unit: fc.constantFrom('a', '"', ',', ';', '\t', '\n', '\r\n', ' ', 'é', '提', '🙂', "'", '='),
    maxLength: 12,
  });
  const row = fc.tuple(text, text);
  const dialect = fc.record({
    delimiter: fc.constantFrom(',', ';', '\t'),
    record_delimiter: fc.constantFrom('\n', '\r\n', '\r'),
    bom: fc.boolean(),
    quoted: fc.boolean(),
  });
  const header = fc.constantFrom(['id', 'image', 'prompt', 'Note'], ['SKU', 'Image Src', 'PROMPT', 'Note']);
  await fc.assert(
    fc.asyncProperty(header, fc.array(row, { minLength: 1 }), dialect, async (header, rows, dialect) => {
      const oneLineEnd = (cell: string): string =>
        dialect.record_delimiter === '\r' ? cell.replaceAll(/\r?\n/g, '\r') : cell;
      const cells = rows.map(([prompt, note], at) => [
        `r${at}`,
        'a.png',
        oneLineEnd(`x${prompt}`),
        oneLineEnd(note),
      ]);
      const file = put('dialect.csv', stringify([header, ...cells], { ...dialect, quoted_match: /[\r\n]/ }));
      const read = await readAll(file);
      expect(read.findings).toEqual([]);
      expect(read.rows.map(({ id, prompt, columns }) => [id, 'a.png', prompt, columns['Note']])).toEqual(
        cells,
      );
    }),
    { numRuns: 60 },
  );
});

describe('a manifest that is read as it comes', () => {
  const many = (count: number): string =>
    `id,image,prompt\n${Array.from({ length: count }, (_, n) => `${n},a.png,x\n`).join('')}`;

  it('comes in order, at most a thousand rows at a time, each after its findings', async () => {
    const file = put('many.csv', `${many(5000)}7,a.png,x\n`);
    let rows = 0;
    const sizes = new Set<number>();
    const manifest = await readManifest(file, manifestDefaults, {
      async rows(some) {
        sizes.add(some.length);
        const [first] = some;
        expect([first?.row.row, first?.place]).toEqual([rows + 1, { file, line: rows + 2 }]);
        expect(some.every(({ row }) => row.row === ++rows)).toBe(true);
      },
      finding: ({ line, problem }) => {
        expect([line, problem]).toEqual([5002, 'line 9 has the same id']);
        expect(rows).toBeLessThan(5001);
      },
    });
    expect([rows, manifest.rows, manifest.findings]).toEqual([5001, 5001, 1]);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(1000);
    expect([manifest.hasId('4999'), manifest.hasId('5000')]).toEqual([true, false]);
  });

  it('waits for whoever takes it', async () => {
    const file = put('wait.csv', many(3000));
    let isBusy = false;
    const take = async (): Promise<void> => {
      expect(isBusy).toBe(false);
      isBusy = true;
      await new Promise(setImmediate);
      isBusy = false;
    };
    await readManifest(file, manifestDefaults, {
      rows: take,
      finding: take,
      isKnown: () => take().then(() => false),
    });
  });

  it('is refused when it changes meanwhile, even if its time does not tell', async () => {
    const change = async (changing: (file: string) => void): Promise<unknown> => {
      const file = put('changing.csv', many(10));
      return readManifest(file, manifestDefaults, {
        rows: async () => changing(file),
        finding: () => undefined,
      }).catch(String);
    };
    const refused = /^UsageError: .*changing\.csv was changed while it was read: run again/;
    expect(await change((file) => appendFileSync(file, '11,a.png,x\n'))).toMatch(refused);
    expect(await change((file) => rmSync(file, { force: true }))).toMatch(/UsageError.*no such file/);
    const sameSize = (file: string): void => {
      const { atime, mtime } = statSync(file);
      writeFileSync(file, many(10).replace('a.png', 'b.png'));
      utimesSync(file, atime, mtime);
    };
    expect(await change(sameSize)).toMatch(refused);
    expect(await change(() => undefined)).toMatchObject({ rows: 10 });
  });

  it('makes ids that no row further down has', async () => {
    const rows = Array.from({ length: 3000 }, (_, n) =>
      n < 2999 ? `n${n},a.png,x\n` : 'a,a.png,x\na-2,a.png,x\n',
    );
    const { rows: read, findings } = await readAll(
      put('ids.csv', `id,image,prompt\n,a.png,x\n${rows.join('')}`),
    );
    expect([findings, read[0]?.id, read.length]).toEqual([[], 'a-3', 3002]);
  });

  it('opens no picture that is known to be sound', async () => {
    put('text.png', 'no picture');
    const file = put(
      'known.csv',
      'id,image,prompt\n1,text.png,x\n2,a.png|text.png,x\n3,https://x.org/a.png,x\n',
    );
    const asked: string[] = [];
    const { findings, rows } = await readAll(file, {}, async (id, { path, bytes }) => {
      asked.push(`${id} ${path.slice(folder.length + 1)} ${bytes}`);
      return path.endsWith('text.png');
    });
    expect(asked).toEqual(['1 text.png 10', '2 a.png 12']);
    expect([findings, rows[0]?.pictures]).toMatchObject([
      [],
      [{ path: join(folder, 'text.png'), bytes: 10 }],
    ]);
    const unknown = await readAll(file, {}, async () => false);
    expect(unknown.findings.map(({ line }) => line)).toEqual([2, 3]);
  });
});
