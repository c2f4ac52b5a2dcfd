import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { stringify as csv } from 'csv-stringify/sync';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { stringify as yaml } from 'yaml';
import type { ManifestOptions } from '../../src/manifest/options.ts';
import { readAll, type Whole } from '../fixtures/manifest.ts';
import { workbook, type WorkbookOptions } from '../fixtures/workbook.ts';

const folder = mkdtempSync(join(tmpdir(), 'manifest-formats-'));
afterAll(() => rmSync(folder, { recursive: true }));
writeFileSync(join(folder, 'a.png'), Buffer.from('\x89PNG\r\n\x1A\n....', 'latin1'));
writeFileSync(join(folder, 'b.png'), Buffer.from('\x89PNG\r\n\x1A\n....', 'latin1'));

const read = (
  name: string,
  content: string | Buffer,
  options: Partial<ManifestOptions> = {},
): Promise<Whole> => {
  const file = join(folder, name);
  writeFileSync(file, content);
  return readAll(file, { prompt: 'x', ...options });
};
const refusal = (
  name: string,
  content: string | Buffer,
  options: Partial<ManifestOptions> = {},
): Promise<string> =>
  read(name, content, options).then(
    () => 'read',
    (error: unknown) => String(error),
  );
const said = ({ findings }: Whole): [number | undefined, string | undefined, string][] =>
  findings.map(({ line, column, problem }) => [line, column, problem]);

/** What XML, and so a workbook, can't hold is left out. */
const text = fc
  .string({ unit: fc.constantFrom(...Array.from('ab 1,;"|\t\n\'<&>=é提\u{1F600}')), maxLength: 8 })
  .map((text) => text.trim());
const tables = fc
  .record({
    names: fc.uniqueArray(
      text.filter((name) => name !== ''),
      { minLength: 1, maxLength: 4, selector: (name) => name.normalize('NFC').toLowerCase() },
    ),
    rows: fc.array(fc.array(text, { minLength: 4, maxLength: 4 }), { minLength: 1, maxLength: 5 }),
  })
  .map(({ names, rows }) => ({
    header: ['id', 'image', ...names.map((name) => `c ${name}`)],
    rows: rows.map((cells, at) => [`r${at}`, 'a.png', ...cells.slice(0, names.length)]),
  }));
type Grid = typeof tables extends fc.Arbitrary<infer T> ? T : never;

const objects = ({ header, rows }: Grid): Record<string, string>[] =>
  rows.map((cells) => Object.fromEntries(header.map((name, at) => [name, cells[at] ?? ''])));

const dialects = fc.record({
  delimiter: fc.constantFrom(',', ';', '\t'),
  record_delimiter: fc.constantFrom('\n', '\r\n'),
  quoted: fc.boolean(),
  bom: fc.boolean(),
  // It leaves a line feed bare where lines end with more than that, which nobody can read.
  quoted_match: fc.constant(/\n/),
});

describe('a table that another library has written', () => {
  it.each<[string, fc.Arbitrary<(grid: Grid) => [name: string, content: string | Buffer]>]>([
    [
      'as CSV',
      dialects.map(
        (dialect) =>
          ({ header, rows }: Grid) =>
            ['m.csv', csv([header, ...rows], dialect)] as [string, string],
      ),
    ],
    [
      'as packed CSV',
      dialects.map(
        (dialect) =>
          ({ header, rows }: Grid) =>
            ['m.csv.gz', gzipSync(csv([header, ...rows], dialect))] as [string, Buffer],
      ),
    ],
    [
      'as JSON Lines',
      fc.constant(
        (grid: Grid) =>
          [
            'm.jsonl',
            objects(grid)
              .map((row) => JSON.stringify(row))
              .join('\n'),
          ] as [string, string],
      ),
    ],
    [
      'as JSON',
      fc
        .constantFrom(0, 2)
        .map(
          (indent) => (grid: Grid) =>
            ['m.json', JSON.stringify(objects(grid), null, indent)] as [string, string],
        ),
    ],
    ['as YAML', fc.constant((grid: Grid) => ['m.yaml', yaml(objects(grid))] as [string, string])],
    [
      'as a workbook',
      fc.record({ inline: fc.boolean(), places: fc.boolean() }).map(
        (options: WorkbookOptions) =>
          ({ header, rows }: Grid) =>
            ['m.xlsx', workbook({ Sheet1: [header, ...rows] }, options)] as [string, Buffer],
      ),
    ],
  ])('%s is read back as it was', async (_how, writers) => {
    await fc.assert(
      fc.asyncProperty(tables, writers, async (grid, write) => {
        const { rows, findings, manifest } = await read(...write(grid));
        expect(findings).toEqual([]);
        expect(manifest.columns).toEqual(grid.header.slice(2));
        expect(rows.map(({ id, columns }) => [id, 'a.png'].concat(Object.values(columns)))).toEqual(
          grid.rows,
        );
      }),
      { numRuns: 60 },
    );
  });
});

describe('a document', () => {
  it.each([
    ['m.json', '\n[{"id": "1", "image": "a.png"},\n {"id": "2",\n  "image": "b.png"}]'],
    ['m.yaml', '# rows\n- {id: 1, image: a.png}\n- id: 2\n  image: b.png\n'],
    ['rows.json', '{\n"rows": [ {"id": "1", "image": "a.png"},\n{"id": "2", "image": "b.png"}]}'],
    ['rows.yml', 'rows:\n  - {id: 1, image: a.png}\n  - {id: 2, image: b.png}\n'],
  ])('is a list of rows, or an object that holds one (%s)', async (name, content) => {
    const { rows, findings } = await read(name, content);
    expect(findings).toEqual([]);
    expect(rows.map(({ id, line }) => [id, line])).toEqual([
      ['1', 2],
      ['2', 3],
    ]);
  });

  it('fills rows up from their preset, then from the defaults', async () => {
    const content = [
      'defaults: {size: 1K, prompt: "on {{ground}}", ground: white}',
      'presets:',
      '  season: {prompt: "in snow", ratio: "4:3"}',
      'rows:',
      '  - {id: 1, image: a.png}',
      '  - {id: 2, image: a.png, preset: season, size: 2K}',
      '  - {id: 3, image: a.png, preset: season, prompt: null}',
      '  - {id: 4, image: a.png, preset: summer}',
    ].join('\n');
    const whole = await read('m.yaml', content);
    const { rows } = whole;
    expect(rows.slice(0, 3).map(({ prompt, size, ratio }) => [prompt, size, ratio])).toEqual([
      ['on white', '1K', '1:1'],
      ['in snow', '2K', '4:3'],
      ['in snow', '1K', '4:3'],
    ]);
    expect(said(whole)).toEqual([[8, 'preset', 'there is no preset of this name']]);
    expect(rows[0]?.columns).toEqual({ ground: 'white' });
  });

  it('keeps values as they are written', async () => {
    const content = '- {id: 00123, image: a.png, a: 1E5, b: 0.10, c: yes, d: ~, e: "1", f: [x, {y: 1}]}';
    const { rows } = await read('m.yaml', content);
    expect(rows[0]).toMatchObject({ id: '00123' });
    expect(rows[0]?.columns).toEqual({ a: '1E5', b: '0.10', c: 'yes', d: '', e: '1', f: '["x",{"y":1}]' });
    const json = await read('m.json', '[{"id": 12345678901234567890, "image": "a.png", "a": 0.10}]');
    expect(json.rows[0]).toMatchObject({ id: '12345678901234567890', columns: { a: '0.10' } });
  });

  it('may be mapped into its depths', async () => {
    const goods = [
      { sku: 7, images: [{ uri: 'a.png' }, { uri: 'b.png' }], text: { en: 'a mug' } },
      { sku: 8 },
    ];
    const map = { image: 'images.0.uri', prompt: 'text.en' };
    for (const [name, content] of [
      ['m.json', JSON.stringify(goods)],
      ['m.jsonl', goods.map((row) => JSON.stringify(row)).join('\n')],
      ['m.yaml', yaml(goods)],
    ] as const) {
      const whole = await read(name, content, { map });
      expect(whole.rows[0]).toMatchObject({
        id: '7',
        prompt: 'a mug',
        pictures: [{ path: join(folder, 'a.png') }],
      });
      expect(said(whole)).toEqual([
        [expect.any(Number), 'images.0.uri', expect.stringContaining('no picture')],
      ]);
    }
  });

  it.each([
    ['m.json', '[{"id": 1},\n{"id" 2}]', 2, '":" is expected'],
    ['m.json', '{"row": []}', 1, 'nothing of this name'],
    ['m.json', '{"rows": {}}', 1, 'no list of rows'],
    ['m.json', '3', 1, 'no list'],
    ['m.json', '['.repeat(200_000), 1, 'nested too deep'],
    ['m.yaml', 'rows:\n  - {id: 1\n  - x', 3, 'no YAML'],
    ['m.yaml', 'just a text', 1, 'no list of rows'],
    ['m.yaml', `a: &a [x]\nrows: []`, 1, 'nothing of this name'],
  ])('that is none says on which line (%s, %#)', async (name, content, line, problem) => {
    const whole = await read(name, content);
    expect(said(whole)).toEqual([[line, whole.findings[0]?.column, expect.stringContaining(problem)]]);
    expect(whole.manifest.unskippable).toBe(true);
  });

  it('whose rows are no objects, or whose aliases would make a mountain of it, is told so', async () => {
    expect(said(await read('m.json', '[{"id": "1", "image": "a.png"},\n"b.png"]'))).toEqual([
      [2, undefined, 'the row is no object'],
    ]);
    let layers = '- &l0 {image: a.png}\n';
    for (let i = 1; i < 30; i++) layers += `- &l${i} {a: [*l${i - 1}, *l${i - 1}, *l${i - 1}]}\n`;
    const whole = await read('m.yaml', layers);
    expect(said(whole)).toEqual([[1, undefined, expect.stringContaining('alias')]]);
  });

  it('that is empty is told what to write', async () => {
    for (const [name, content] of [
      ['m.json', ' \n'],
      ['m.yaml', '# nothing\n'],
    ] as const)
      expect(await refusal(name, content)).toMatch(/^UsageError: .*is empty: write a list of rows/);
  });
});

describe('a workbook', () => {
  const header = ['id', 'image', 'price', 'day'];

  it('is read with sparse rows, numbers as its cells show them, and texts as they are', async () => {
    const rows = [
      header,
      ['00123', 'a.png', { value: '1.1000000000000001' }, { value: '45992', style: 2 }],
      undefined,
      [{ value: '42', style: 1 }, 'a.png', undefined, { value: '45992.75', style: 2 }],
      [{ value: '4006381333931' }, 'a.png', { value: '1', type: 'b' }, { value: 'x', type: 'str' }],
      [{ value: '1E+21' }, 'b.png'],
    ];
    const { rows: read_, findings } = await read(
      'm.xlsx',
      workbook({ Goods: rows }, { formats: ['00000', 'dd/mm/yyyy;@'] }),
    );
    expect(findings).toEqual([]);
    expect(read_.map(({ id, line, columns }) => [line, id, columns['price'], columns['day']])).toEqual([
      [2, '00123', '1.1', '2025-12-01'],
      [4, '00042', '', '2025-12-01 18:00:00'],
      [5, '4006381333931', 'TRUE', 'x'],
      [6, '1000000000000000000000', '', ''],
    ]);
  });

  it('counts its days from 1904 where it says so', async () => {
    const rows = [
      header,
      ['1', 'a.png', undefined, { value: '0', style: 1 }],
      ['2', 'a.png', undefined, { value: '1', style: 1 }],
    ];
    const { rows: found } = await read(
      'm.xlsx',
      workbook({ Goods: rows }, { formats: ['yyyy-mm-dd'], from1904: true }),
    );
    expect(found[1]?.columns['day']).toBe('1904-01-02');
  });

  it('is read from the sheet that is named, else from the first, and says so', async () => {
    const book = workbook({ Notes: [['image'], ['a.png']], 'Größe & Co': [['image'], ['b.png']] });
    const first = await read('m.xlsx', book);
    expect(first.rows[0]?.pictures).toMatchObject([{ path: join(folder, 'a.png') }]);
    expect(first.manifest.notes).toMatchObject([
      { problem: 'only the sheet "Notes" is read', remedy: expect.stringContaining('"Größe & Co"') },
    ]);
    const second = await read('m.xlsx', book, { sheet: 'Größe & Co' });
    expect(second.rows[0]?.pictures).toMatchObject([{ path: join(folder, 'b.png') }]);
    expect(second.manifest.notes).toEqual([]);
    expect(await refusal('m.xlsx', book, { sheet: 'Goods' })).toMatch(
      /--sheet Goods: .*"Notes", "Größe & Co"/,
    );
  });

  it('with a value beside its columns has the row told', async () => {
    const whole = await read(
      'm.xlsx',
      workbook({
        Goods: [
          ['id', 'image'],
          ['1', 'a.png', 'x'],
          ['2', 'a.png'],
        ],
      }),
    );
    expect(said(whole)).toEqual([[2, undefined, expect.stringContaining('to the right')]]);
  });

  it('that is damaged, cut or none is refused', async () => {
    const book = workbook({ Goods: [['image'], ['a.png']] });
    for (const bytes of [
      book.subarray(0, 400),
      Buffer.from('PK\x03\x04 and so on'),
      Buffer.from('id,image\n'),
    ])
      expect(await refusal('m.xlsx', bytes)).toMatch(/^UsageError: .*no workbook that can be read/);
    expect(await refusal('m.xlsx', workbook({}))).toMatch(/^UsageError: .*no sheet/);
    expect(await refusal('m.xlsx', workbook({ Goods: [] }))).toMatch(/^UsageError: .*is empty/);
  });
});

describe('a title above the columns', () => {
  const lines = ['Our goods', 'as of today;;', '', 'sku;image;name', '1;a.png;mug', '2;b.png;cup'];
  it.each<[string, string | Buffer]>([
    ['m.csv', lines.join('\n')],
    ['m.xlsx', workbook({ Goods: lines.map((line) => (line === '' ? undefined : line.split(';'))) })],
  ])('is left out, and said so (%s)', async (name, content) => {
    const { rows, findings, manifest } = await read(name, content);
    expect(findings).toEqual([]);
    expect(rows.map(({ id, line }) => [id, line])).toEqual([
      ['1', 5],
      ['2', 6],
    ]);
    expect(manifest.notes).toMatchObject([
      { line: 4, problem: expect.stringContaining('what is above them is left out') },
    ]);
  });

  it('is not made up where the first line has a known name', async () => {
    const { rows } = await read('m.csv', 'image\na.png\n"image"\n');
    expect(rows).toHaveLength(2);
  });
});

describe('a packed manifest', () => {
  it('that is cut or damaged is refused', async () => {
    const packed = gzipSync('id,image\n1,a.png\n');
    expect(await refusal('m.csv.gz', packed.subarray(0, -10))).toMatch(/^UsageError: .*can't be unpacked/);
    expect(
      await refusal(
        'm.csv.gz',
        Buffer.concat([packed.subarray(0, 14), Buffer.from('xxxx'), packed.subarray(18)]),
      ),
    ).toMatch(/^UsageError: .*can't be unpacked/);
    expect(await refusal('m.csv.gz', gzipSync(packed))).toMatch(/^UsageError: .*gzip archive/);
  });
});

describe('a row for every picture', () => {
  it('splits lists, and numbers the lines of one product', async () => {
    const content = [
      'Handle,Image Src,Title',
      'mug,a.png,Mug',
      'mug,b.png,',
      'mug,,',
      'cup,"a.png, b.png",Cup',
      'pot,https://x.example/1.jpg| https://x.example/2.jpg,',
      'pan,"https://x.example/1.jpg, https://x.example/2,3.jpg",',
    ].join('\n');
    const { rows, findings, manifest } = await read('m.csv', content, { eachPicture: true });
    expect(findings).toEqual([]);
    expect(rows.map(({ id, line }) => [id, line])).toEqual([
      ['mug', 2],
      ['mug-2', 3],
      ['cup', 5],
      ['cup-2', 5],
      ['pot', 6],
      ['pot-2', 6],
      ['pan', 7],
      ['pan-2', 7],
    ]);
    expect(rows.at(-1)?.pictures).toEqual([{ kind: 'url', url: 'https://x.example/2,3.jpg' }]);
    expect(rows.slice(0, 4).map(({ columns }) => columns['Title'])).toEqual(['Mug', 'Mug', 'Cup', 'Cup']);
    expect(manifest.notes).toMatchObject([{ problem: '1 line without a picture left out' }]);
  });

  it('whose made id another line has is told', async () => {
    const whole = await read('m.csv', 'id,image\nmug,a.png\nmug,b.png\nmug-2,a.png\n', { eachPicture: true });
    expect(said(whole)).toEqual([[4, 'id', expect.stringContaining('has the same id')]]);
  });
});

describe('a plain size', () => {
  const table =
    'id,image,size,ratio\n1,a.png,1024x768,\n2,a.png,1366x768,16:9\n3,a.png,1000x300,\n4,a.png,2K,\n';

  it('has its own ratio, where nobody says another', async () => {
    const { rows, findings } = await read('m.csv', table);
    expect(findings).toEqual([]);
    expect(rows.map(({ ratio }) => ratio)).toEqual(['4:3', '16:9', '1:1', '1:1']);
  });

  it('that contradicts the ratio is an error', async () => {
    expect(said(await read('m.csv', `${table}5,a.png,1024x768,16:9\n`))).toEqual([
      [6, 'ratio', 'the size 1024x768 does not have this ratio'],
    ]);
    expect(await refusal('m.csv', table, { size: '1024x768', ratio: '16:9' })).toMatch(
      /--size 1024x768 --ratio 16:9/,
    );
  });
});
