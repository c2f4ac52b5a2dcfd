import { stringify } from 'csv-stringify/sync';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findColumns, knownColumns } from '../../src/manifest/columns.ts';
import { openCsv } from '../../src/manifest/csv.ts';
import type { Problem } from '../../src/manifest/problem.ts';
import { firstParts, type Parts } from '../../src/manifest/source.ts';
import type { TableRecord } from '../../src/manifest/table.ts';
import { openText, textOf, type Text } from '../../src/manifest/text.ts';

/** Bytes in parts of this length. */
const partsOf = (bytes: Buffer, length = 1000): Parts<Buffer> =>
  async function* () {
    for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
  };

interface Read {
  header: string[];
  line: number;
  problems: Problem[];
  records: TableRecord[];
}

/** A whole table, whose problems of the end stand behind those of the header. */
const readText = async (text: Text): Promise<Read> => {
  const table = await openCsv(text, knownColumns({}));
  if (!table) return { header: [], line: 1, problems: [], records: [] };
  const problems = [...table.problems];
  const records: TableRecord[] = [];
  for await (const some of table.records((problem) => problems.push(problem))) records.push(...some);
  return { header: table.header, line: table.line, problems, records };
};
const read = (text: string): Promise<Read> => readText(textOf(text));
const brief = async (text: string): Promise<[number, string[]][]> =>
  (await read(text)).records.map(({ line, cells }) => [line, cells]);

describe('tables', () => {
  it('are read back in any dialect', async () => {
    const cell = fc.string({
      unit: fc.constantFrom('a', '"', ',', ';', '\t', '\n', '\r\n', ' ', 'é', '提', '|', "'"),
    });
    const row = fc.tuple(fc.constant('x'), cell, cell, cell);
    const dialect = fc.record({
      delimiter: fc.constantFrom(',', ';', '\t'),
      record_delimiter: fc.constantFrom('\n', '\r\n'),
      bom: fc.boolean(),
      quoted: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.array(row),
        dialect,
        fc.constantFrom('utf8', 'utf16le'),
        async (rows, dialect, encoding) => {
          const header = ['sku', 'image', 'prompt', 'note, (a; b)'];
          const text = stringify([header, ...rows], { ...dialect, quoted_match: /\s/ });
          const bytes = Buffer.from(
            encoding === 'utf16le' && !dialect.bom ? `\uFEFF${text}` : text,
            encoding as 'utf8',
          );
          const table = await readText(await openText(partsOf(bytes), 'm.csv'));
          expect(table.header).toEqual(header);
          expect(table.records.map(({ cells }) => cells)).toEqual(rows);
          expect(table.records.some(({ flaw }) => flaw)).toBe(false);
        },
      ),
    );
  });

  it('tell the physical line on which a row starts', async () => {
    const text = '\r\nid,prompt\r\n1,"a\r\nb\nc"\r\n\r\n,\r\n2,x\r\n3,"y"';
    expect(await brief(text)).toEqual([
      [3, ['1', 'a\r\nb\nc']],
      [8, ['2', 'x']],
      [9, ['3', 'y']],
    ]);
    expect((await read(text)).line).toBe(2);
    expect(await brief('id,prompt\r1,a\r2,b')).toEqual([
      [2, ['1', 'a']],
      [3, ['2', 'b']],
    ]);
  });

  it('take the separator that makes known columns, also against more of another in a name', async () => {
    expect((await read('sku;image;Tags (x,y,z,w)\n1;a.jpg;t')).header).toEqual([
      'sku',
      'image',
      'Tags (x,y,z,w)',
    ]);
    expect((await read('a\tb\tc\n')).header).toEqual(['a', 'b', 'c']);
    expect((await read('image\na.jpg')).header).toEqual(['image']);
  });

  it('report rows with too few or too many cells with both counts', async () => {
    const { records } = await read('id,image,prompt\n1,a.jpg\n2,b.jpg,red, blue\n3,c.jpg,x');
    expect(records.map(({ line, flaw }) => [line, flaw?.problem])).toEqual([
      [2, 'the row has 2 cells, but the header has 3 columns'],
      [3, 'the row has 4 cells, but the header has 3 columns'],
      [4, undefined],
    ]);
    expect(records[1]?.flaw?.remedy).toContain('","');
  });

  it('take inches as text and report text after a closing quotation mark', async () => {
    const { records } = await read('id,prompt\n1,12" screen\n2,"12" screen"\n3,"""12"" screen"\n4,"a"" b"');
    expect(records.map(({ cells, flaw }) => (flaw ? flaw.problem : cells[1]))).toEqual([
      '12" screen',
      'a quoted cell goes on after its closing quotation mark',
      '"12" screen',
      'a" b',
    ]);
  });

  it('report an open quotation mark where its row starts, and keep the rows before', async () => {
    const table = await read('id,prompt\n1,"a\nb"\n2,"c\n3,d\n4,e\n');
    expect(table.records).toHaveLength(1);
    expect(table.problems).toMatchObject([{ line: 4, problem: expect.stringContaining('never closed') }]);
    expect((await read('"id,image\n1,2')).problems).toMatchObject([{ line: 1 }]);
  });

  it('come to an end, whatever quotation marks stand where', async () => {
    const text = fc.string({ unit: fc.constantFrom('"', '"', ',', ' ', 'a', '\n', '\r\n'), maxLength: 24 });
    await fc.assert(
      fc.asyncProperty(text, async (text) => {
        const { records, problems } = await read(`id,prompt\n${text}`);
        expect(records.length).toBeLessThanOrEqual(text.split(/\r\n|\n/).length);
        if (problems.length + records.length === 0) expect(text).toMatch(/^["\s,]*$/);
      }),
      { numRuns: 1500, examples: [['" ,""""'], ['"'], ['a\n""'], ['"",""""""']] },
    );
  });

  it('bound cells and columns', async () => {
    const long = 'x'.repeat(1024 * 1024 + 1);
    expect((await read(`id,prompt\n1,${long}`)).records[0]?.flaw).toMatchObject({
      column: 'prompt',
      line: 2,
    });
    expect((await read(`id,image\n1,"data:image/png;base64,${long}"`)).records[0]?.flaw).toBeUndefined();
    expect((await read(`id${',c'.repeat(1000)}\n`)).problems[0]?.problem).toContain('1001 columns');
    expect((await read('x'.repeat(10_000_000))).problems[0]?.problem).toContain('no header');
    expect((await read(',"x'.repeat(1_000_000))).records).toEqual([]);
  });
});

const find = (header: string[], map: Record<string, string> = {}) => findColumns({ header, line: 1 }, map);

describe('columns', () => {
  it('are found by alias in any case and Unicode form, the first choice first', () => {
    expect(find(['货号', 'Image Src', 'PROMPT', 'Aspect_Ratio', 'Größe']).of).toEqual({
      id: 0,
      image: 1,
      prompt: 2,
      ratio: 3,
    });
    const several = find(['url', 'SKU', 'image', 'id']);
    expect(several.of).toEqual({ id: 3, image: 2 });
    expect(several.notes.map(({ column, problem }) => [column, problem])).toEqual([
      ['id', 'read as the id, though "SKU" could be that too'],
      ['image', 'read as the image, though "url" could be that too'],
    ]);
    expect(several.carried.map(({ name }) => name)).toEqual(['url', 'SKU']);
  });

  it('follow --map before the aliases; an empty name means none', () => {
    const mapped = find(['id', 'SKU', 'size', 'Foto'], { id: 'sku', image: 'Foto', size: '' });
    expect(mapped.of).toEqual({ id: 1, image: 3 });
    expect(mapped.carried.map(({ name }) => name)).toEqual(['col_id', 'size']);
    expect(find(['sku', 'x'], { image: 'SKU' }).of).toEqual({ image: 0 });
  });

  it('say which column was likely meant', () => {
    expect(find(['Image Src', 'Title'], { image: 'Image Scr' }).problems).toMatchObject([
      { column: 'Image Scr', remedy: 'did you mean "Image Src"?' },
    ]);
  });

  it('with one name twice are a problem; names of results are carried as col_', () => {
    expect(find(['id', 'Color', 'Caf\u00E9', 'color', 'Cafe\u0301', 'Color']).problems).toMatchObject([
      { column: 'Cafe\u0301' },
      { column: 'Color' },
    ]);
    expect(find(['sku', 'status', 'col_status', '__proto__', '']).carried.map(({ name }) => name)).toEqual([
      'col_col_status',
      'col_status',
      '__proto__',
    ]);
  });
});

const refusal = async (bytes: Buffer, encoding?: string): Promise<string> => {
  try {
    const { parts } = await openText(partsOf(bytes), 'm.csv', encoding);
    return `read: ${(await firstParts(parts, Infinity)).join('')}`;
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
};

describe('text', () => {
  const gb18030 = Buffer.concat([
    Buffer.from('id,prompt\n1,ok\n2,'),
    Buffer.from('cce1cabeb4ca', 'hex'),
    Buffer.from('\n'),
  ]);
  const shiftJis = Buffer.concat([Buffer.from('id,prompt\n1,'), Buffer.from('90d482a28343', 'hex')]);
  const western = Buffer.from('id,prompt\n1,caf\xE9 \x93rouge\x94 10 \x80', 'latin1');

  it('in another encoding is refused with a preview, never guessed', async () => {
    expect(await refusal(gb18030)).toMatch(
      /^UsageError: m\.csv: line 3 is not UTF-8\. GB18030 reads "2,提示词".*--encoding gb18030/,
    );
    expect(await refusal(shiftJis)).toMatch(
      /line 2 is not UTF-8\. SHIFT_JIS reads "1,赤いイ".*--encoding shift_jis/,
    );
    expect(await refusal(western)).toMatch(
      /WINDOWS-1252 reads "1,café “rouge” 10 €".*--encoding windows-1252/,
    );
    expect(await refusal(Buffer.from('id,prompt\n1,x\n', 'utf16le'))).toMatch(
      /without a byte order mark.*--encoding utf-16le/s,
    );
  });

  it('is read by the encoding that is named, to the last byte', async () => {
    expect(await refusal(gb18030, 'gb18030')).toContain('2,提示词\n');
    expect(await refusal(shiftJis, 'shift_jis')).toContain('1,赤いイ');
    expect(await refusal(western, 'windows-1252')).toContain('café “rouge” 10 €');
    expect(await refusal(gb18030.subarray(0, -2), 'gb18030')).toMatch(
      /UsageError: m\.csv: it does not read as gb18030/,
    );
    expect(await refusal(western, 'klingon')).toMatch(/UsageError: --encoding klingon: no such encoding/);
  });

  it('loses its byte order mark', async () => {
    expect(await refusal(Buffer.from('\uFEFFid'))).toBe('read: id');
    expect(await refusal(Buffer.from('\uFEFFid', 'utf16le'))).toBe('read: id');
    expect(await refusal(Buffer.from('\uFEFFid', 'utf16le').swap16())).toBe('read: id');
  });

  it('is not what a picture, a spreadsheet or zeros are', async () => {
    expect(await refusal(Buffer.from('PK\x03\x04....'))).toMatch(/UsageError: m\.csv: this is a spreadsheet/);
    expect(await refusal(Buffer.from('\x89PNG\r\n\x1A\n', 'latin1'))).toMatch(/this is a PNG/);
    expect(await refusal(Buffer.from('<!DOCTYPE html><p>'))).toMatch(/this is a web page/);
    expect(await refusal(Buffer.from('id,image\n1,a\0.jpg\n'))).toMatch(/line 2 holds NUL/);
    expect(await refusal(Buffer.alloc(1000))).toMatch(/UsageError.*NUL/);
  });

  it('of any bytes is either read or refused', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        expect(await refusal(Buffer.from(bytes))).toMatch(/^(read|UsageError)/);
      }),
    );
  });
});
