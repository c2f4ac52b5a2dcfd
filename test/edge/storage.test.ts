import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SurroundingsError, UsageError } from '../../src/errors.ts';
import { openFolder } from '../../src/storage/local.ts';
import { findStorage, openStorage } from '../../src/storage/open.ts';
import type { Storage } from '../../src/storage/storage.ts';

let home: string;
let out: string;
let storage: Storage;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'reshoot-storage-'));
  out = join(home, 'out');
  storage = await openFolder(out);
});

afterEach(() => rm(home, { recursive: true, force: true }));

const sha256Of = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');

/** A file outside of the output. */
async function fileOf(text: string): Promise<string> {
  const file = join(home, 'source.bin');
  await writeFile(file, text);
  return file;
}

/** All files and folders in a folder, but the output's empty spool. */
async function treeOf(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true });
  return names.filter((name) => !/^\.reshoot(\/spool)?$/.test(name)).sort();
}

const textOf = async (name: string): Promise<string | undefined> => (await storage.read(name))?.toString();

async function scanned(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const name of storage.scan(folder)) names.push(name);
  return names;
}

describe('opening', () => {
  it('makes the folder as anybody would, and its own part of it private', async () => {
    await mkdir(join(home, 'plain'));
    const modeOf = async (folder: string): Promise<number> => (await stat(folder)).mode & 0o777;
    expect(await modeOf(out)).toBe(await modeOf(join(home, 'plain')));
    expect(await modeOf(join(out, '.reshoot'))).toBe(0o700);
    expect(storage.spool).toBe(join(out, '.reshoot', 'spool'));
  });

  it('names the folder so that a job can carry it, also through a link', async () => {
    expect(storage.uri).toBe(pathToFileURL(out).href);
    await symlink(out, join(home, 'link'));
    expect((await openStorage(join(home, 'link'))).uri).toBe(storage.uri);
    expect((await findStorage(storage.uri))?.uri).toBe(storage.uri);
  });

  it('finds no output where none was ever opened, and makes none', async () => {
    expect(await findStorage(join(home, 'none'))).toBeUndefined();
    expect(await findStorage(home)).toBeUndefined();
    await expect(readdir(join(home, 'none'))).rejects.toThrow('ENOENT');
  });

  it('says what is wrong with a folder that it cannot make, or an output that is none', async () => {
    await expect(openFolder(join(await fileOf('x'), 'out'))).rejects.toThrow(SurroundingsError);
    await expect(async () => openStorage('s3://bucket/out')).rejects.toThrow(UsageError);
  });
});

describe('reading and writing', () => {
  it('reads what was written, whole or a part', async () => {
    await storage.write('a/b/c.txt', 'hello, world');
    expect(await textOf('a/b/c.txt')).toBe('hello, world');
    expect((await storage.readRange('a/b/c.txt', 7, 5)).toString()).toBe('world');
    expect((await storage.readRange('a/b/c.txt', 7, 50)).toString()).toBe('world');
    expect(await storage.readRange('a/b/c.txt', 70, 5)).toHaveLength(0);
    expect(await storage.hash('a/b/c.txt')).toBe(sha256Of('hello, world'));
    const facts = await storage.stat('a/b/c.txt');
    expect(facts).toEqual({ name: 'a/b/c.txt', bytes: 12, changedMs: expect.any(Number) });
    expect(Math.abs(facts!.changedMs - Date.now())).toBeLessThan(60_000);
  });

  it('knows of no file where there is none', async () => {
    await storage.write('file', 'x');
    await storage.write('folder/x', 'x');
    for (const name of ['none', 'none/none', 'file/none']) {
      expect([name, await storage.read(name)]).toEqual([name, undefined]);
      expect([name, await storage.hash(name)]).toEqual([name, undefined]);
      expect([name, await storage.stat(name)]).toEqual([name, undefined]);
      expect([name, await storage.list(name)]).toEqual([name, []]);
      expect([name, await storage.dated(name)]).toEqual([name, []]);
      expect([name, await scanned(name)]).toEqual([name, []]);
      await expect(storage.readRange(name, 0, 1)).rejects.toThrow(SurroundingsError);
    }
    expect(await storage.read('folder')).toBeUndefined();
  });

  it('writes from text, bytes and streams of both, and replaces what was there', async () => {
    const pieces = async function* () {
      yield 'one ';
      yield Buffer.from('two');
    };
    for (const content of ['plain', Buffer.from('bytes'), ['a', 'b'], pieces()]) {
      await storage.write('file', content);
    }
    expect(await textOf('file')).toBe('one two');
    expect(await treeOf(out)).toEqual(['file']);
  });

  it('leaves the old file, and nothing else, where a stream breaks off', async () => {
    await storage.write('file', 'old');
    const broken = async function* () {
      yield 'new';
      throw new Error('the source broke');
    };
    await expect(storage.write('file', broken())).rejects.toThrow('the source broke');
    expect(await textOf('file')).toBe('old');
    expect(await treeOf(out)).toEqual(['file']);
  });

  it('shows readers the old file or the new one, never a part', async () => {
    const texts = ['a', 'b'].map((letter) => letter.repeat(300_000));
    await storage.write('file', texts[0]!);
    const write = async (): Promise<void> => {
      for (let i = 0; i < 40; i++) await storage.write('file', texts[i % 2]!);
    };
    const read = async (): Promise<void> => {
      for (let i = 0; i < 200; i++) expect(texts).toContain(await readFile(join(out, 'file'), 'utf8'));
    };
    await Promise.all([write(), read()]);
  });

  it('lists files and folders, but nothing that is still on its way', async () => {
    await storage.write('b/x', '');
    await storage.write('a.txt', '');
    await writeFile(join(out, '.reshoot-0a1b-2c.tmp'), 'left behind by a killed process');
    expect((await storage.list('')).sort()).toEqual(['.reshoot/', 'a.txt', 'b/']);
    expect(await storage.list('b')).toEqual(['x']);
  });
});

describe('create', () => {
  it('lets exactly one of fifty have the name', async () => {
    const others = await Promise.all(Array.from({ length: 10 }, () => openFolder(out)));
    const wins = await Promise.all(
      Array.from({ length: 50 }, (_, i) => others[i % 10]!.create('calls/1.json', `owner ${i}`)),
    );
    expect(wins.filter(Boolean)).toHaveLength(1);
    expect(await textOf('calls/1.json')).toBe(`owner ${wins.indexOf(true)}`);
    expect(await treeOf(out)).toEqual(['calls', 'calls/1.json']);
  });

  it('leaves what stands there alone', async () => {
    await storage.write('file', 'theirs');
    await symlink(join(home, 'nowhere'), join(out, 'dangling'));
    expect(await storage.create('file', 'ours')).toBe(false);
    expect(await storage.create('dangling', 'ours')).toBe(false);
    expect(await textOf('file')).toBe('theirs');
    expect(await treeOf(home)).not.toContain('nowhere');
  });
});

describe('keep and copy', () => {
  it("puts a local file's bytes at a free name and leaves the file", async () => {
    const file = await fileOf('a picture');
    expect(await storage.keep(file, 'shoes/a.jpg', sha256Of('a picture'))).toBe(true);
    expect(await textOf('shoes/a.jpg')).toBe('a picture');
    expect(await readFile(file, 'utf8')).toBe('a picture');
  });

  it('takes the same bytes for its own and any other for taken', async () => {
    const file = await fileOf('a picture');
    await storage.write('same.jpg', 'a picture');
    await storage.write('other.jpg', 'theirs');
    await storage.write('folder.jpg/x', '');
    expect(await storage.keep(file, 'same.jpg', sha256Of('a picture'))).toBe(true);
    expect(await storage.keep(file, 'other.jpg', sha256Of('a picture'))).toBe(false);
    expect(await storage.keep(file, 'folder.jpg', sha256Of('a picture'))).toBe(false);
    expect(await textOf('other.jpg')).toBe('theirs');
    expect(await treeOf(out)).toEqual(['folder.jpg', 'folder.jpg/x', 'other.jpg', 'same.jpg']);
  });

  it('puts nothing whose bytes are not those it was told', async () => {
    const file = await fileOf('a damaged picture');
    await expect(storage.keep(file, 'a.jpg', sha256Of('a picture'))).rejects.toThrow('changed on its way');
    await expect(storage.keep(join(home, 'none'), 'a.jpg', sha256Of(''))).rejects.toThrow(SurroundingsError);
    expect(await treeOf(out)).toEqual([]);
  });

  it('lets fifty put the same picture, and one of two different ones', async () => {
    const file = await fileOf('a picture');
    const sum = sha256Of('a picture');
    const kept = await Promise.all(Array.from({ length: 50 }, () => storage.keep(file, 'a.jpg', sum)));
    expect(kept).toEqual(Array.from({ length: 50 }, () => true));
    await storage.write('x', 'one');
    await storage.write('y', 'two');
    const copied = await Promise.all([
      storage.copy('x', 'z', sha256Of('one')),
      storage.copy('y', 'z', sha256Of('two')),
    ]);
    expect(copied.filter(Boolean)).toHaveLength(1);
    expect(await textOf('z')).toBe(copied[0] ? 'one' : 'two');
    expect(await treeOf(out)).toEqual(['a.jpg', 'x', 'y', 'z']);
  });

  it('copies what is still there unchanged', async () => {
    await storage.write('a', 'a picture');
    expect(await storage.copy('a', 'b/c', sha256Of('a picture'))).toBe(true);
    expect(await storage.copy('a', 'b/c', sha256Of('a picture'))).toBe(true);
    expect(await textOf('b/c')).toBe('a picture');
    expect(await storage.copy('a', 'd', sha256Of('another'))).toBe(false);
    expect(await storage.copy('none', 'd', sha256Of(''))).toBe(false);
    expect(await storage.stat('d')).toBeUndefined();
  });
});

describe('setting aside', () => {
  const replaced = (sha256: string): string => `.reshoot/replaced/${sha256}`;

  it('moves a file to where its content says, once, and minds no missing one', async () => {
    const one = sha256Of('one');
    for (let i = 0; i < 2; i++) {
      await storage.write('a', 'one');
      await storage.setAside('a', replaced);
      await storage.setAside('a', replaced);
      expect(await textOf(replaced(one))).toBe('one');
      expect(await storage.list('')).toEqual(['.reshoot/']);
    }
    await storage.write('a', 'one');
    await storage.write('b', 'two');
    await expect(storage.setAside('a', () => 'b')).rejects.toThrow('b exists already, with other content');
    expect([await textOf('a'), await textOf('b')]).toEqual(['one', 'two']);
  });

  it('loses nothing of what other processes put there meanwhile', async () => {
    const contents = Array.from({ length: 40 }, (_, i) => `picture ${i} ${'x'.repeat(100_000)}`);
    /** As a process does that puts its picture at the name: what stands there makes room. */
    const putThere = async (content: string): Promise<void> => {
      for (;;) {
        await writeFile(join(out, `${sha256Of(content)}.bin`), content);
        if (await storage.keep(join(out, `${sha256Of(content)}.bin`), 'a', sha256Of(content))) return;
        await storage.setAside('a', replaced);
      }
    };
    await Promise.all(
      [0, 1, 2, 3].map(async (i) => {
        for (const content of contents.filter((_, at) => at % 4 === i)) await putThere(content);
      }),
    );
    const last = await textOf('a');
    for (const content of contents)
      expect(content === last || (await textOf(replaced(sha256Of(content)))) === content).toBe(true);
    expect((await readdir(out)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

describe('looking through a folder', () => {
  it('gives the same names one by one, and the time at which each last changed', async () => {
    const names = Array.from({ length: 2500 }, (_, i) => `${i}.txt`);
    await mkdir(join(out, 'full/deep'), { recursive: true });
    await Promise.all(names.map((name) => writeFile(join(out, 'full', name), 'x')));
    await writeFile(join(out, 'full', '.reshoot-left-behind.tmp'), 'x');
    const longAgo = new Date('2026-01-01T00:00:00.250Z');
    await utimes(join(out, 'full', '7.txt'), longAgo, longAgo);
    expect((await scanned('full')).toSorted()).toEqual([...names, 'deep/'].toSorted());
    const dated = new Map((await storage.dated('full')).map(({ name, changedMs }) => [name, changedMs]));
    expect([...dated.keys()].toSorted()).toEqual([...names, 'deep'].toSorted());
    expect(dated.get('7.txt')).toBe(longAgo.getTime());
    const ageOf = async (): Promise<number> =>
      (await storage.dated('full')).find(({ name }) => name === 'deep')!.changedMs;
    await utimes(join(out, 'full/deep'), longAgo, longAgo);
    await storage.write('full/deep/x', 'x');
    expect(await ageOf()).toBeGreaterThan(longAgo.getTime());
    await utimes(join(out, 'full/deep'), longAgo, longAgo);
    await storage.touch('full/deep');
    expect(await ageOf()).toBeGreaterThan(longAgo.getTime());
    expect(await readdir(join(out, 'full/deep'))).toEqual(['x']);
  });
});

describe('the root', () => {
  const calls: [string, (name: string) => Promise<unknown>][] = [
    ['read', (name) => storage.read(name)],
    ['readRange', (name) => storage.readRange(name, 0, 1)],
    ['stat', (name) => storage.stat(name)],
    ['hash', (name) => storage.hash(name)],
    ['create', (name) => storage.create(name, 'x')],
    ['write', (name) => storage.write(name, 'x')],
    ['keep', async (name) => storage.keep(await fileOf('x'), name, sha256Of('x'))],
    ['copy from', (name) => storage.copy(name, 'copy', sha256Of('theirs'))],
    ['copy to', (name) => storage.copy('ours', name, sha256Of('ours'))],
    ['set aside', (name) => storage.setAside(name, () => 'moved')],
    ['set aside to', (name) => storage.setAside('ours', () => name)],
    ['list', (name) => storage.list(name)],
    ['dated', (name) => storage.dated(name)],
    ['scan', (name) => scanned(name)],
    ['touch', (name) => storage.touch(name)],
  ];

  beforeEach(async () => {
    await mkdir(join(home, 'outside'));
    await writeFile(join(home, 'outside', 'theirs'), 'theirs');
    await storage.write('ours', 'ours');
  });

  const unharmed = async (): Promise<void> => {
    expect(await treeOf(join(home, 'outside'))).toEqual(['theirs']);
    expect(await readFile(join(home, 'outside', 'theirs'), 'utf8')).toBe('theirs');
    expect(await textOf('ours')).toBe('ours');
  };

  it.each(calls)('%s refuses a name that is none below it', async (what, call) => {
    const names = [
      '',
      '.',
      '..',
      '../outside/theirs',
      'a/../../outside/theirs',
      '/etc/hosts',
      'a//b',
      'a/./b',
    ];
    for (const name of [...names, '..\\outside\\theirs', 'a\0b', 'a/']) {
      if (name === '' && ['list', 'dated', 'scan', 'touch'].includes(what)) continue;
      await expect(call(name), name).rejects.toThrow('is no name below the output');
    }
    await unharmed();
  });

  it.each(calls)('%s refuses a name behind a link that leads out', async (_name, call) => {
    await symlink(join(home, 'outside'), join(out, 'link'));
    for (const name of ['link/theirs', 'link/deep/er/theirs']) {
      expect(await storage.leadsOut(name)).toBe(true);
      await expect(call(name), name).rejects.toThrow('leads out of the output through a link');
    }
    await unharmed();
  });

  it('notices a folder that was swapped for a link, or for one beside it with its name in front', async () => {
    await storage.write('folder/a.jpg', 'one');
    await rename(join(out, 'folder'), join(out, 'folder.old'));
    await mkdir(`${out}-beside`);
    await symlink(`${out}-beside`, join(out, 'folder'));
    await expect(storage.write('folder/a.jpg', 'two')).rejects.toThrow('leads out of the output');
    await expect(storage.create('folder/b.jpg', 'two')).rejects.toThrow('leads out of the output');
    expect(await readdir(`${out}-beside`)).toEqual([]);
  });

  it('follows a link that stays within', async () => {
    await storage.write('folder/a.jpg', 'one');
    await symlink('folder', join(out, 'link'));
    expect(await storage.leadsOut('link/b.jpg')).toBe(false);
    await storage.write('link/b.jpg', 'two');
    expect(await textOf('folder/b.jpg')).toBe('two');
  });

  it('is not made anew where it was moved away, or its disk unmounted', async () => {
    const record = '.reshoot/calls/aa/1.json';
    await rename(out, join(home, 'away'));
    for (const name of [record, 'r1.png', 'front/r1.png'])
      await expect(storage.create(name, 'x')).rejects.toThrow(SurroundingsError);
    await expect(readdir(out)).rejects.toThrow('ENOENT');
    await mkdir(out);
    await expect(storage.create(record, 'x')).rejects.toThrow(SurroundingsError);
    expect(await readdir(out)).toEqual([]);
  });

  it('knows before any folder is made whether a name would lead out', async () => {
    expect(await storage.leadsOut('a/b/c.jpg')).toBe(false);
    expect(await storage.leadsOut('a.jpg')).toBe(false);
    expect(await treeOf(out)).toEqual(['ours']);
  });
});

describe('a full disk', () => {
  const run = promisify(execFile);
  const big = Buffer.alloc(2 ** 22, 'a large picture');

  it('leaves every name as it was, and no temporary file', async () => {
    const folder = join(home, 'small');
    await mkdir(folder);
    // A file system of a megabyte where we may mount one, else a process that may write no larger file.
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]).then(
      () => true,
      () => false,
    );
    try {
      const node = [process.execPath, '--import', 'tsx', 'test/fixtures/storage-full-disk.ts'];
      await writeFile(join(home, 'big.jpg'), big);
      const args = [...node, folder, join(home, 'big.jpg'), sha256Of(big)];
      const limit = mounted ? 'exec "$@"' : 'ulimit -f 1024; exec "$@"';
      const { stdout } = await run('bash', ['-c', limit, 'bash', ...args]);
      expect(JSON.parse(stdout)).toEqual(Array.from({ length: 4 }, () => 'SurroundingsError'));
      expect(await treeOf(folder)).toEqual(['old.txt', 'pictures', 'small.txt']);
      expect(await readFile(join(folder, 'old.txt'), 'utf8')).toBe('old');
    } finally {
      if (mounted) await run('umount', [folder]);
    }
  });
});
