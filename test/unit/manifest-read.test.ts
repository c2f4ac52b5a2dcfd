import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ManifestOptions } from '../../src/manifest/options.ts';
import { readAll, type Whole } from '../fixtures/manifest.ts';

const folder = mkdtempSync(join(tmpdir(), 'manifest-'));
afterAll(() => rmSync(folder, { recursive: true }));

const png = Buffer.from('\x89PNG\r\n\x1A\n....', 'latin1');
const put = (name: string, content: string | Buffer): string => {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, content);
  return path;
};
for (const name of ['a.png', 'b.jpg', 'sub/c.png', '红 鞋.png']) put(name, png);

let count = 0;
const read = (text: string | Buffer, options: Partial<ManifestOptions> = {}): Promise<Whole> =>
  readAll(put(`m${++count}.csv`, text), options);
const brief = ({ findings }: Whole): (number | string | undefined)[][] =>
  findings.map(({ line, column, problem }) => [line, column, problem]);
/** The one problem of a single row with this picture cell. */
const pictureProblem = async (cell: string): Promise<string> => {
  const { findings } = await read(`id,prompt,image\n1,x,"${cell}"\n`);
  return findings.map(({ problem }) => problem).join(' / ');
};

describe('a sound manifest', () => {
  it('becomes rows with defaults, checked values and the user’s own columns', async () => {
    const { rows, findings, manifest } = await read(
      'sku,image,prompt,size,ratio,route,output,Farbe,status\r\n' +
        '00123,a.png,make it red,,,,,rot ,neu\r\n' +
        '1E5,sub/c.png,blue,4k,16:9,2,web/blue.png,,\r\n' +
        'c,b.jpg,green,1024 X 768,,,,,\r\n',
      { size: '1k' },
    );
    expect(findings).toEqual([]);
    expect(manifest.notes).toEqual([]);
    expect(manifest.columns).toEqual(['Farbe', 'col_status']);
    expect(rows[0]).toEqual({
      row: 1,
      line: 2,
      id: '00123',
      pictures: [
        {
          kind: 'file',
          path: join(folder, 'a.png'),
          bytes: 12,
          mtimeMs: expect.any(Number),
          ino: expect.any(Number),
        },
      ],
      prompt: 'make it red',
      size: '1K',
      ratio: '1:1',
      route: 1,
      output: '00123.{ext}',
      columns: { Farbe: 'rot ', col_status: 'neu' },
      selected: true,
    });
    expect(rows[1]).toMatchObject({ id: '1E5', size: '4K', ratio: '16:9', route: 2, output: 'web/blue.png' });
    expect(rows[2]).toMatchObject({ id: 'c', size: '1024x768' });
  });

  it('fills --prompt and a row’s own prompt from columns, once, and remarks on gaps', async () => {
    const { rows, manifest, findings } = await read(
      'SKU,image,prompt,Farbe (dt.)\n1,a.png,,{{SKU}} $& rot\n2,b.jpg,own {{Farbe (dt.)}} {{what}},blau\n3,b.jpg,,\n',
      { prompt: 'A {{Farbe (dt.)}} shoe {{id}} in {{size}}' },
    );
    expect(findings).toEqual([]);
    expect(rows.map(({ prompt }) => prompt)).toEqual([
      'A {{SKU}} $& rot shoe 1 in 2K',
      'own blau {{what}}',
      'A  shoe 3 in 2K',
    ]);
    expect(manifest.notes.map(({ line, problem }) => [line, problem])).toEqual([
      [3, '{{what}} names no column and is sent as it stands'],
      [4, '{{Farbe (dt.)}} is empty in the prompt'],
    ]);
  });

  it('names files by template and columns', async () => {
    const { rows } = await read('id,image,prompt,Marke\na/1,a.png,x,Löwe & Söhne\n', {
      name: '{Marke}/{row}-{id}.{ext}',
    });
    expect(rows[0]?.output).toBe('Löwe___Söhne/1-a_1.{ext}');
  });

  it('reads a failed.csv: formulas unquoted, error columns dropped, prompts and names final', async () => {
    const { rows, manifest, findings } = await read(
      `\uFEFFid,image,prompt,output,Note,error_code,error_message\r\n'=1,${join(folder, 'a.png')},"'-5% {{Note}}",x.{ext},'@me,timeout,x\r\n`,
    );
    expect([manifest.retry, manifest.columns, findings]).toEqual([true, ['Note'], []]);
    expect(rows[0]).toMatchObject({
      id: '=1',
      prompt: '-5% {{Note}}',
      output: 'x.{ext}',
      columns: { Note: '@me' },
    });
  });
});

describe('an unsound manifest', () => {
  it('tells all problems at once: five in one row, three in another', async () => {
    const whole = await read(
      'id,image,prompt,size,ratio,route,output\n' +
        'ok,a.png,x,,,,\n' +
        'p,missing.png,"",3K,2:1,3,x.jpg\n' +
        'ok,b.jpg,x,8x8,,,../up.jpg\n',
    );
    expect(brief(whole)).toEqual([
      [3, 'size', 'this is no size that the API knows'],
      [3, 'ratio', 'this is no ratio that the API knows'],
      [3, 'route', 'this is no route that the API knows'],
      [3, 'prompt', 'the row has no prompt'],
      [3, 'image', `there is no file ${join(folder, 'missing.png')}`],
      [4, 'size', 'this is no size that the API knows'],
      [4, 'id', 'line 2 has the same id'],
      [4, 'output', 'the name leads out of its folder (. or ..)'],
    ]);
    for (const finding of whole.findings) expect(finding.remedy.length).toBeGreaterThan(10);
    expect(whole.findings[0]).toMatchObject({ file: join(folder, `m${count}.csv`), value: '3K' });
    expect(whole.rows.map(({ invalid }) => invalid === undefined)).toEqual([true, false, false]);
    expect(whole.rows[2]).toMatchObject({
      output: '',
      invalid: expect.stringContaining('id: line 2 has'),
    });
    expect(whole.manifest.unskippable).toBe(false);
  });

  it('tells what is wrong with the whole table once', async () => {
    const whole = await read('Titel,Image Scr\nx,a.png\ny,b.jpg\n', {
      name: '{Titl}.{ext}',
      prompt: '{{Tittel}}',
    });
    expect(whole.findings).toMatchObject([
      { problem: 'the table has no column of pictures', remedy: expect.stringContaining('"Image Scr"?') },
      { problem: expect.stringContaining('--name asks for "Titl"'), remedy: 'did you mean "Titel"?' },
      { problem: expect.stringContaining('--prompt asks for "Tittel"'), remedy: 'did you mean "Titel"?' },
    ]);
    expect(whole.manifest.unskippable).toBe(true);
    expect(brief(await read('id,image\n1,a.png\n'))).toEqual([
      [undefined, undefined, 'the table has no column of prompts, and there is no --prompt'],
    ]);
    expect(brief(await read('id,image,prompt\n'))).toEqual([
      [undefined, undefined, 'the table has a header, but no rows'],
    ]);
    expect(brief(await read('id,image,prompt,\n1,a.png,x,\n2,b.jpg,x,lost\n'))).toEqual([
      [1, undefined, 'column 4 has no name, but line 3 has something in it'],
    ]);
  });

  it('says one thing of a row whose cells cannot be told apart, and goes on', async () => {
    const whole = await read('id,image,prompt\n1,nope.png\n2,b.jpg,x\n3,a.png,"x\n');
    expect(brief(whole)).toEqual([
      [2, undefined, 'the row has 2 cells, but the header has 3 columns'],
      [4, undefined, expect.stringContaining('never closed')],
    ]);
    expect(whole.rows.map(({ id, invalid }) => [id, invalid !== undefined])).toEqual([
      ['1', true],
      ['2', false],
    ]);
    expect(whole.manifest.unskippable).toBe(true);
  });

  it('refuses names that meet, the later row', async () => {
    const whole = await read('id,image,prompt,output\na b,a.png,x,\na_b,a.png,x,\nc,a.png,x,A_B.PNG\n');
    expect(brief(whole)).toEqual([
      [3, undefined, expect.stringContaining('line 2 writes the same file')],
      [4, 'output', expect.stringContaining('line 2 writes the same file')],
    ]);
  });

  it('names the empty column that an output name lacks', async () => {
    const text = 'id,image,prompt,Vendor,Line\n1,a.png,x,,shoes\n2,a.png,x,acme,\n3,a.png,x,acme,hats\n';
    expect(brief(await read(text, { name: '{Vendor}/{Line}/{id}.{ext}' }))).toEqual([
      [2, undefined, '{Vendor} is empty in this row, so that the name begins with "/"'],
      [3, undefined, '{Line} is empty in this row, so that a part of the name is empty'],
    ]);
    expect(brief(await read(text, { name: '{Vendor}{Line}/{id}.{ext}' }))).toEqual([]);
  });

  it('need not be sound in rows that are left out', async () => {
    const text = 'id,image,prompt\n1,a.png,x\n2,nope.png,x\n1,b.jpg,\n';
    const first = await read(text, { limit: 1 });
    expect([first.findings, first.rows.map(({ selected }) => selected)]).toEqual([[], [true, false, false]]);
    expect(first.rows.map(({ invalid }) => invalid)).toEqual([undefined, undefined, undefined]);
    const second = await read(text, { ids: ['2', '4'] });
    expect(second.findings.map(({ line, value }) => [line, value])).toEqual([
      [3, 'nope.png'],
      [undefined, '4'],
    ]);
  });
});

describe('pictures', () => {
  it('are addresses, files below the root, or embedded', async () => {
    const data = `data:image/jpeg;base64,${png.toString('base64')}`;
    const { rows, findings, manifest, embedded } = await read(
      `prompt,image\nx,https://x.org/a.jpg | http://x.org/ü.png\nx,"${data}"\nx,/sub/c.png\nx,${join(folder, 'a.png')}\nx,红 鞋.png|a.png\n`,
    );
    expect(findings).toEqual([]);
    const pictures = rows.map(({ pictures }) => pictures);
    expect(pictures[0]).toEqual([
      { kind: 'url', url: 'https://x.org/a.jpg' },
      { kind: 'url', url: 'http://x.org/%C3%BC.png' },
    ]);
    const [sha256, content] = [...embedded][0]!;
    expect(content).toEqual(png);
    expect(pictures[1]).toEqual([
      { kind: 'file', path: `embedded:${sha256}`, bytes: 12, mtimeMs: 0, ino: 0 },
    ]);
    expect(pictures.slice(2).flat()).toMatchObject(
      ['sub/c.png', 'a.png', '红 鞋.png', 'a.png'].map((name) => ({ path: join(folder, name) })),
    );
    expect(rows.map(({ id }) => id)).toEqual(['a', 'row-2', 'c', 'a-2', '红 鞋']);
    expect(manifest.notes).toMatchObject([
      { line: 2, problem: expect.stringMatching(/more than one picture.*\(2 rows\)/) },
    ]);
  });

  it('start at --image-root', async () => {
    const { rows } = await read('id,prompt,image\n1,x,/c.png\n', { imageRoot: join(folder, 'sub') });
    expect(rows[0]?.pictures).toMatchObject([{ path: join(folder, 'sub/c.png') }]);
  });

  it('that can’t be sent are findings', async () => {
    put('empty.png', '');
    put('page.jpg', '<html>404');
    put('scan.png', '%PDF-1.7');
    put('text.png', 'hello');
    expect(await pictureProblem('')).toBe('the row has no picture');
    expect(await pictureProblem('sub')).toBe(`${join(folder, 'sub')} is a folder`);
    expect(await pictureProblem('empty.png')).toBe('the picture file is empty');
    expect(await pictureProblem('page.jpg')).toContain('of type web page');
    expect(await pictureProblem('scan.png')).toContain('of type PDF');
    expect(await pictureProblem('text.png')).toContain('no picture that can be recognised');
    expect(await pictureProblem(Array(11).fill('a.png').join('|'))).toContain('at most 10');
    expect(await pictureProblem('a.png|https://x.org/a.png')).toContain('mixes');
    expect(await pictureProblem(Array(6).fill('https://x.org/a').join('|'))).toContain('at most 5');
    expect(await pictureProblem('https://x.org/a.png, https://x.org/b.png')).toContain('several addresses');
    expect(await pictureProblem('https://')).toContain('no web address');
    expect(await pictureProblem('s3://bucket/a.png')).toContain('not yet');
    expect(await pictureProblem('ftp://x.org/a.png')).toContain('ftp://');
    expect(await pictureProblem('data:image/png;base64,AA*')).toContain('not in base64');
    expect(await pictureProblem('x'.repeat(5000))).toContain('ENAMETOOLONG');
    expect(await pictureProblem('nope.png|empty.png')).toMatch(/nope.* \/ .*empty/);
  });

  it('never show a password', async () => {
    const { findings, rows } = await read('id,prompt,image\n1,x,https://me:geheim@x.org/a.png\n');
    expect(findings).toHaveLength(1);
    expect(JSON.stringify([findings, rows])).not.toContain('geheim');
  });

  it('that are missing come with the likely cause', async () => {
    put('u/Cafe\u0301.png', png);
    symlinkSync('gone.png', join(folder, 'u/link.png'));
    const cells = [
      'A.PNG',
      'sub\\c.png',
      'C:\\Users\\me\\a b.png',
      'none/a.png',
      'u/Caf\u00E9.png',
      'u/link.png',
    ];
    const { findings } = await read(
      `id,prompt,image\n${cells.map((cell, at) => `${at},x,${cell}\n`).join('')}`,
    );
    expect(findings.map(({ remedy }) => remedy)).toEqual([
      'did you mean "a.png"?',
      'write folders with / instead of \\',
      'in WSL this is /mnt/c/Users/me/a b.png',
      expect.stringContaining('--image-root'),
      expect.stringContaining('another Unicode form'),
      expect.stringContaining('a link to a file that is gone'),
    ]);
  });
});

const refusal = async (file: string, options: Partial<ManifestOptions> = {}): Promise<string> =>
  readAll(file, options).then(
    () => 'read',
    (error: Error) => `${error.name}: ${error.message}`,
  );

describe('what is no manifest', () => {
  it('is refused, saying so or that it is not yet supported', async () => {
    expect(await refusal(put('empty.csv', '\uFEFF\r\n'))).toMatch(/^UsageError: .*is empty/);
    expect(await refusal(join(folder, 'nope.csv'))).toMatch(/^UsageError: .*no such file/);
    expect(await refusal(put('m.txt', 'id\n'))).toMatch(/^UsageError: .*--format: csv, tsv/);
    expect(await refusal(put('x.csv', 'PK\x03\x04'))).toMatch(/^UsageError: .*spreadsheet/);
    expect(await refusal('-')).toMatch(/^UsageError: standard input: .*--format/);
    expect(await refusal('s3://bucket/m.csv')).toMatch(/^UsageError: .*not yet/);
    expect(await refusal(put('n.txt', 'id\timage\tprompt\n1\ta.png\tx'), { format: 'tsv' })).toBe('read');
  });

  it('wrong options are refused by name', async () => {
    const file = put('m.csv', 'id,image,prompt\n1,a.png,x\n');
    expect(await refusal(file, { size: '3K' })).toMatch(/^UsageError: --size 3K/);
    expect(await refusal(file, { ratio: '2:1' })).toMatch(/^UsageError: --ratio 2:1/);
    expect(await refusal(file, { route: 3 })).toMatch(/^UsageError: --route 3/);
    expect(await refusal(file, { map: { colour: 'x' } })).toMatch(/^UsageError: --map colour/);
    expect(await refusal(file, { name: '{id' })).toMatch(/^UsageError: --name/);
  });
});
