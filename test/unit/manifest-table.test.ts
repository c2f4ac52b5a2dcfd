import { stringify } from 'csv-stringify/sync';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findColumns, knownColumns } from '../../src/manifest/columns.ts';
import { parseTable, type Table } from '../../src/manifest/table.ts';
import { readText } from '../../src/manifest/text.ts';

const read = (text: string): Table => parseTable(text, knownColumns({}));
const brief = (text: string): [number, string[]][] =>
  read(text).records.map(({ line, cells }) => [line, cells]);

describe('tables', () => {
  it('are read back in any dialect', () => {
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
    fc.assert(
      fc.property(fc.array(row), dialect, fc.constantFrom('utf8', 'utf16le'), (rows, dialect, encoding) => {
        const header = ['sku', 'image', 'prompt', 'note, (a; b)'];
        const text = stringify([header, ...rows], { ...dialect, quoted_match: /\s/ });
        const bytes = Buffer.from(
          encoding === 'utf16le' && !dialect.bom ? `\uFEFF${text}` : text,
          encoding as 'utf8',
        );
        const table = read(readText(bytes, 'm.csv'));
        expect(table.header).toEqual(header);
        expect(table.records.map(({ cells }) => cells)).toEqual(rows);
        expect(table.records.some(({ flaw }) => flaw)).toBe(false);
      }),
    );
  });

  it('tell the physical line on which a row starts', () => {
    const text = '\r\nid,prompt\r\n1,"a\r\nb\nc"\r\n\r\n,\r\n2,x\r\n3,"y"';
    expect(brief(text)).toEqual([
      [3, ['1', 'a\r\nb\nc']],
      [8, ['2', 'x']],
      [9, ['3', 'y']],
    ]);
    expect(read(text).line).toBe(2);
    expect(brief('id,prompt\r1,a\r2,b')).toEqual([
      [2, ['1', 'a']],
      [3, ['2', 'b']],
    ]);
  });

  it('take the separator that makes known columns, also against more of another in a name', () => {
    expect(read('sku;image;Tags (x,y,z,w)\n1;a.jpg;t').header).toEqual(['sku', 'image', 'Tags (x,y,z,w)']);
    expect(read('a\tb\tc\n').header).toEqual(['a', 'b', 'c']);
    expect(read('image\na.jpg').header).toEqual(['image']);
  });

  it('report rows with too few or too many cells with both counts', () => {
    const { records } = read('id,image,prompt\n1,a.jpg\n2,b.jpg,red, blue\n3,c.jpg,x');
    expect(records.map(({ line, flaw }) => [line, flaw?.problem])).toEqual([
      [2, 'the row has 2 cells, but the header has 3 columns'],
      [3, 'the row has 4 cells, but the header has 3 columns'],
      [4, undefined],
    ]);
    expect(records[1]?.flaw?.remedy).toContain('","');
  });

  it('take inches as text and report text after a closing quotation mark', () => {
    const { records } = read('id,prompt\n1,12" screen\n2,"12" screen"\n3,"""12"" screen"\n4,"a"" b"');
    expect(records.map(({ cells, flaw }) => (flaw ? flaw.problem : cells[1]))).toEqual([
      '12" screen',
      'a quoted cell goes on after its closing quotation mark',
      '"12" screen',
      'a" b',
    ]);
  });

  it('report an open quotation mark where its row starts, and keep the rows before', () => {
    const table = read('id,prompt\n1,"a\nb"\n2,"c\n3,d\n4,e\n');
    expect(table.records).toHaveLength(1);
    expect(table.problems).toMatchObject([{ line: 4, problem: expect.stringContaining('never closed') }]);
    expect(read('"id,image\n1,2').problems).toMatchObject([{ line: 1 }]);
  });

  it('bound cells and columns', () => {
    const long = 'x'.repeat(1024 * 1024 + 1);
    expect(read(`id,prompt\n1,${long}`).records[0]?.flaw).toMatchObject({ column: 'prompt', line: 2 });
    expect(read(`id,image\n1,"data:image/png;base64,${long}"`).records[0]?.flaw).toBeUndefined();
    expect(read(`id${',c'.repeat(1000)}\n`).problems[0]?.problem).toContain('1001 columns');
    expect(read('x'.repeat(10_000_000)).problems[0]?.problem).toContain('no header');
    expect(read(',"x'.repeat(1_000_000)).records).toEqual([]);
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

const refusal = (bytes: Buffer, encoding?: string): string => {
  try {
    return `read: ${readText(bytes, 'm.csv', encoding)}`;
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

  it('in another encoding is refused with a preview, never guessed', () => {
    expect(refusal(gb18030)).toMatch(
      /^UsageError: m\.csv: line 3 is not UTF-8\. GB18030 reads "2,提示词".*--encoding gb18030/,
    );
    expect(refusal(shiftJis)).toMatch(
      /line 2 is not UTF-8\. SHIFT_JIS reads "1,赤いイ".*--encoding shift_jis/,
    );
    expect(refusal(western)).toMatch(/WINDOWS-1252 reads "1,café “rouge” 10 €".*--encoding windows-1252/);
    expect(refusal(Buffer.from('id,prompt\n1,x\n', 'utf16le'))).toMatch(
      /without a byte order mark.*--encoding utf-16le/s,
    );
  });

  it('is read by the encoding that is named, to the last byte', () => {
    expect(refusal(gb18030, 'gb18030')).toContain('2,提示词\n');
    expect(refusal(shiftJis, 'shift_jis')).toContain('1,赤いイ');
    expect(refusal(western, 'windows-1252')).toContain('café “rouge” 10 €');
    expect(refusal(gb18030.subarray(0, -2), 'gb18030')).toMatch(
      /UsageError: m\.csv: it does not read as gb18030/,
    );
    expect(refusal(western, 'klingon')).toMatch(/UsageError: --encoding klingon: no such encoding/);
  });

  it('loses its byte order mark', () => {
    expect(refusal(Buffer.from('\uFEFFid'))).toBe('read: id');
    expect(refusal(Buffer.from('\uFEFFid', 'utf16le'))).toBe('read: id');
    expect(refusal(Buffer.from('\uFEFFid', 'utf16le').swap16())).toBe('read: id');
  });

  it('is not what a picture, a spreadsheet or zeros are', () => {
    expect(refusal(Buffer.from('PK\x03\x04....'))).toMatch(/UsageError: m\.csv: this is a spreadsheet/);
    expect(refusal(Buffer.from('\x89PNG\r\n\x1A\n', 'latin1'))).toMatch(/this is a PNG/);
    expect(refusal(Buffer.from('<!DOCTYPE html><p>'))).toMatch(/this is a web page/);
    expect(refusal(Buffer.from('id,image\n1,a\0.jpg\n'))).toMatch(/line 2 holds NUL/);
    expect(refusal(Buffer.alloc(1000))).toMatch(/UsageError.*NUL/);
  });

  it('of any bytes is either read or refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(Buffer.from(bytes))).toMatch(/^(read|UsageError)/);
      }),
    );
  });
});
