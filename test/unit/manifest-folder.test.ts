import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ManifestOptions } from '../../src/manifest/options.ts';
import { readAll, type Whole } from '../fixtures/manifest.ts';

const base = mkdtempSync(join(tmpdir(), 'manifest-folder-'));
afterAll(() => rmSync(base, { recursive: true }));

const png = Buffer.from('\x89PNG\r\n\x1A\n....', 'latin1');
let count = 0;
/** A new folder with these files, pictures unless told. */
const make = (names: string[], content: string | Buffer = png): string => {
  const folder = join(base, `photos${++count}`);
  mkdirSync(folder);
  add(folder, names, content);
  return folder;
};
const add = (folder: string, names: string[], content: string | Buffer = png): void => {
  for (const name of names) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
};

const read = (folder: string, options: Partial<ManifestOptions> = {}): Promise<Whole> =>
  readAll(folder, { prompt: 'on plain white', ...options });
const ids = async (folder: string): Promise<string[]> => (await read(folder)).rows.map(({ id }) => id);

describe('a folder of pictures', () => {
  it('becomes a row a picture, in an order of names and numbers, with ids of paths', async () => {
    const folder = make(['b10.JPG', 'b2.webp', 'sub/deep/c.png', 'sub/b2.jpeg', 'a.png']);
    const { rows, findings, manifest } = await read(folder, {
      prompt: '{{folder}}/{{file}} {{image}}',
      imageRoot: '/nowhere',
    });
    expect([findings, manifest.columns]).toEqual([[], ['folder', 'file']]);
    expect(rows.map(({ id, prompt, output }) => [id, prompt, output])).toEqual([
      ['a', '/a.png a.png', 'a.{ext}'],
      ['b2', '/b2.webp b2.webp', 'b2.{ext}'],
      ['b10', '/b10.JPG b10.JPG', 'b10.{ext}'],
      ['sub/b2', 'sub/b2.jpeg sub/b2.jpeg', 'sub_b2.{ext}'],
      ['sub/deep/c', 'sub/deep/c.png sub/deep/c.png', 'sub_deep_c.{ext}'],
    ]);
    expect(rows[4]?.pictures).toMatchObject([{ path: join(folder, 'sub/deep/c.png') }]);
    expect(manifest.notes).toMatchObject([
      { file: join(folder, 'a.png'), problem: expect.stringContaining('folder') },
    ]);
  });

  it('can be a pattern of names, which keeps ids and says where it finds fault', async () => {
    const folder = make(['a-front.jpg', 'a-back.jpg', 'sub/b-front.JPG', 'notes.txt']);
    add(folder, ['sub/c-front.jpg'], '%PDF-1.7');
    const { rows, findings, manifest } = await read(join(folder, '**/*-front.{jpg,JPG}'));
    expect(rows.map(({ id }) => id)).toEqual(['a-front', 'sub/b-front', 'sub/c-front']);
    expect(findings.map(({ file }) => file)).toEqual([join(folder, 'sub/c-front.jpg')]);
    expect(manifest.notes.map(({ problem }) => problem).join()).not.toContain('notes.txt');
    await expect(read(join(folder, '*.webp'))).rejects.toThrow('no picture in this folder');
    await expect(read(join(folder, 'nowhere/*.jpg'))).rejects.toThrow('cannot be read (ENOENT)');
    // A file of that very name is no pattern.
    const named = make(['m[1].csv'], 'id,image\n');
    await expect(read(join(named, 'm[1].csv'))).resolves.toMatchObject({ rows: [] });
  });

  it('keeps every id when a picture comes into it', async () => {
    const folder = make(['shoe.jpg', 'red/shoe.jpg', 'z.png']);
    const before = await ids(folder);
    add(folder, ['blue/shoe.jpg', 'a.jpg', 'shoe.png', 'shoe-2.jpg', 'red/shoe.webp']);
    const after = await ids(folder);
    expect(after).toEqual(expect.arrayContaining(before));
    expect(new Set(after).size).toBe(8);
    expect(after).toContain('shoe.png');
    expect(after).toContain('red/shoe.webp');
  });

  it('gives names that a disk may take for one ids and outputs of their own', async () => {
    const folder = make(['case.jpg', 'Case.JPG', 'caf\u00E9.png', 'cafe\u0301.png', 'x/y.png', 'x_y.png']);
    const { rows, findings } = await read(folder);
    expect(findings).toEqual([]);
    // A disk that takes them for one keeps only some of the files.
    const standing = readdirSync(folder, { recursive: true }).filter((name) => String(name).includes('.'));
    expect(rows).toHaveLength(standing.length);
    expect(new Set(rows.map(({ output }) => output.toLowerCase())).size).toBe(rows.length);
  });

  it('leaves out what systems leave in folders silently, and what is no picture with one note', async () => {
    const litter = ['.DS_Store', '.hidden.jpg', '.git/a.jpg', '__MACOSX/a.jpg', '@eaDir/a.jpg', 'Thumbs.db'];
    const folder = make(['a.jpg', ...litter, 'list.csv', 'b.txt', 'sub/raw.CR2']);
    const { rows, manifest } = await read(folder);
    expect(rows.map(({ id }) => id)).toEqual(['a']);
    expect(manifest.notes.map(({ file, problem }) => [file, problem])).toEqual([
      [folder, '"b.txt" is left out: it is no picture by its name (and 2 more of the kind)'],
    ]);
  });

  it('follows no link, wherever it leads', async () => {
    const outside = make(['secret.jpg']);
    const folder = make(['a.jpg', 'sub/b.jpg']);
    symlinkSync(join(outside, 'secret.jpg'), join(folder, 'out.jpg'));
    symlinkSync(outside, join(folder, 'outside'));
    symlinkSync('..', join(folder, 'sub/loop'));
    symlinkSync('gone.jpg', join(folder, 'dangling.jpg'));
    const { rows, manifest } = await read(folder);
    expect(rows.map(({ id }) => id)).toEqual(['a', 'sub/b']);
    expect(manifest.notes).toMatchObject([
      { problem: expect.stringMatching(/"dangling.jpg".*link.*3 more/) },
    ]);
    symlinkSync(folder, join(base, 'door'));
    expect(await ids(join(base, 'door'))).toEqual(['a', 'sub/b']);
  });

  it('leaves out reshoot’s own outputs wholly, and is none itself', async () => {
    const folder = make(['a.jpg', 'out/a.jpg', 'out/sub/b.jpg', 'out/.reshoot/runs/r/plan.jsonl']);
    const { rows, manifest } = await read(folder);
    expect(rows.map(({ id }) => id)).toEqual(['a']);
    expect(manifest.notes).toMatchObject([{ problem: expect.stringMatching(/"out".*reshoot's results/) }]);
    await expect(read(join(folder, 'out'))).rejects.toThrow(/is an output of reshoot's/);
  });

  it('names the picture where a manifest has lines', async () => {
    const folder = make(['a.jpg', 'sub/b.jpg', 'sub/c.jpg']);
    add(folder, ['sub/scan.tif', 'pipe|d.jpg'], '%PDF-1.7');
    const { rows, findings, places, manifest } = await read(folder, { name: '{folder}x.{ext}' });
    expect(findings.map(({ file, line, problem }) => [file, line, problem])).toEqual([
      [join(folder, 'pipe|d.jpg'), undefined, expect.stringContaining('holds |')],
      [join(folder, 'sub/c.jpg'), undefined, expect.stringContaining('"sub/b.jpg" writes the same file')],
      [join(folder, 'sub/scan.tif'), undefined, expect.stringContaining('"sub/b.jpg" writes the same file')],
      [join(folder, 'sub/scan.tif'), undefined, expect.stringContaining('of type PDF')],
    ]);
    expect(manifest.unskippable).toBe(false);
    expect([rows[2]?.id, places[2]]).toEqual(['sub/b', { file: join(folder, 'sub/b.jpg') }]);
  });

  it('takes hostile names as they are', async () => {
    const names = [
      ' lead.jpg',
      'data:x.jpg',
      'http:a.jpg',
      '--help.jpg',
      'tab\tname.jpg',
      '=cmd.jpg',
      ' .jpg',
    ];
    const long = `${'ö'.repeat(60)}/${'l'.repeat(250)}.jpg`;
    const { rows, findings } = await read(make([...names, 'a\\b.jpg', long]));
    expect(findings).toEqual([]);
    expect(rows.every(({ pictures }) => pictures.length === 1)).toBe(true);
    expect(rows.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['.jpg', '--help', '=cmd', 'a\\b', 'data:x', 'http:a', 'lead', 'tab_name']),
    );
    expect(rows.every(({ id }) => id.length <= 200)).toBe(true);
  });

  it('needs a prompt and a picture', async () => {
    const folder = make(['a.jpg']);
    const { findings } = await read(folder, { prompt: undefined });
    expect(findings).toMatchObject([
      {
        file: folder,
        problem: expect.stringContaining('needs a prompt'),
        remedy: expect.stringMatching(/^give --prompt/),
      },
    ]);
    await expect(read(make([]))).rejects.toThrow(/^.*no picture in this folder: put/);
    await expect(read(make(['a.txt']))).rejects.toThrow(/no picture.*"a.txt" is left out/);
  });
});
