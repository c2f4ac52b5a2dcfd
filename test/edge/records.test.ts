import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SurroundingsError } from '../../src/errors.ts';
import type { Row } from '../../src/model.ts';
import { keyOf, type Call } from '../../src/records/call.ts';
import { createCalls, type Calls } from '../../src/records/calls.ts';
import { createContents } from '../../src/records/content.ts';
import { toLine, type LineFacts } from '../../src/records/index-file.ts';
import {
  createRuns,
  newRunId,
  planLine,
  type Note,
  type Place,
  type Run,
  type Runs,
} from '../../src/records/runs.ts';
import { createSightings } from '../../src/records/sightings.ts';
import { storeId } from '../../src/records/store.ts';
import { openFolder } from '../../src/storage/local.ts';
import type { Storage } from '../../src/storage/storage.ts';
import { callOf, endings } from '../fixtures/call.ts';
import { rowOf } from '../fixtures/row.ts';

let out: string;
let storage: Storage;
let calls: Calls;

beforeEach(async () => {
  out = await mkdtemp(join(tmpdir(), 'reshoot-records-'));
  storage = await openFolder(out);
  calls = createCalls(storage);
});

afterEach(() => rm(out, { recursive: true, force: true }));

const folderOf = (id: string): string => join(out, '.reshoot/calls', keyOf(id).slice(0, 2), keyOf(id));

/** As if the row's last call were long ago: the clock's grain is no question any more. */
async function aged(id: string): Promise<void> {
  const longAgo = new Date(Date.now() - 3_600_000);
  await utimes(folderOf(id), longAgo, longAgo);
}

async function planOf(runs: Runs, run: string): Promise<{ row: Row; place: Place }[]> {
  const rows: { row: Row; place: Place }[] = [];
  for await (const some of runs.plan(run))
    for (const { place, read } of some) rows.push({ place, row: read() });
  return rows;
}

async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

async function* none(): AsyncGenerator<string> {}

async function storiesOf(of: Calls = calls): Promise<Record<string, Call[]>> {
  const found: Record<string, Call[]> = {};
  const stories = await of.stories();
  for await (const { id, calls } of stories.all()) {
    expect(Object.keys(found)).not.toContain(id);
    found[id] = calls;
  }
  for (const [id, calls] of Object.entries(found)) expect(await stories.of(id)).toEqual(calls);
  return found;
}

describe('call records', () => {
  it('are a folder a row, a file a call, read back as they were', async () => {
    const first = callOf({ closed: endings.timeout });
    await calls.open(callOf());
    await calls.close(callOf(), endings.timeout);
    for (const n of [11, 2]) await calls.open(callOf({ n }));
    expect(await readdir(folderOf('chair'))).toEqual(expect.arrayContaining(['1.json', '2.json', '11.json']));
    expect(await calls.story('chair')).toEqual([first, callOf({ n: 2 }), callOf({ n: 11 })]);
    expect(await calls.story('lamp')).toEqual([]);
  });

  it('let one of many owners open a call, and all see whose it is', async () => {
    const owners = Array.from({ length: 40 }, (_, pid) => ({ host: 'h', pid }));
    const opened = await Promise.all(owners.map((owner) => calls.open(callOf({ owner }))));
    expect(opened.filter(Boolean)).toHaveLength(1);
    expect(await calls.story('chair')).toEqual([callOf({ owner: owners[opened.indexOf(true)]! })]);
    expect(await calls.open(callOf({ n: 2 }))).toBe(true);
    expect(await calls.open(callOf({ id: 'lamp' }))).toBe(true);
  });

  it('close with their outcome, which stands', async () => {
    await calls.open(callOf());
    const closed = await calls.close(callOf(), endings.picture);
    expect(closed).toEqual(callOf({ closed: endings.picture }));
    expect(await calls.story('chair')).toEqual([closed]);
    expect(await calls.open(callOf())).toBe(false);
  });

  it('keep an outcome that came meanwhile, whoever closes or holds them', async () => {
    await calls.open(callOf());
    const closed = await calls.close(callOf(), endings.picture);
    expect(await calls.close(callOf(), endings.timeout)).toEqual(closed);
    await calls.hold(callOf());
    expect(await calls.story('chair')).toEqual([{ ...closed, on_unknown: 'hold' }]);
  });

  it.each([
    ['is gone', undefined],
    ['was cut off', '{"v":1,"run":"r1","id":"cha'],
  ])('are written anew by who made them where their file %s', async (_how, text) => {
    await calls.open(callOf());
    await rm(join(folderOf('chair'), '1.json'));
    if (text !== undefined) await writeFile(join(folderOf('chair'), '1.json'), text);
    const closed = callOf({ closed: endings.picture });
    expect(await calls.close(callOf(), endings.picture)).toEqual(closed);
    expect(await calls.story('chair')).toEqual([closed]);
  });

  it('are found by when they were opened, whatever is damaged beside them', async () => {
    const now = Date.now();
    const startedAt = (ms: number): string => new Date(now + ms).toISOString();
    for (const [id, ms] of [
      ['lamp', 0],
      ['chair', 1],
      ['sofa', 5000],
    ] as const)
      await calls.open(callOf({ id, started_at: startedAt(ms) }));
    await calls.open(callOf({ n: 2, started_at: startedAt(-1) }));
    await calls.open(callOf({ id: 'desk' }));
    await writeFile(join(folderOf('desk'), '1.json'), 'cut o');
    const found = async (since: number): Promise<string[]> =>
      (await listOf(calls.since(since))).map(({ id, n }) => `${id} ${n}`).toSorted();
    expect(await found(now)).toEqual(['chair 1', 'sofa 1']);
    // What was opened by a clock that is half a minute behind that of the disk, and ahead of it.
    for (const ago of [30_000, -30_000]) {
      const at = new Date(now - ago);
      await utimes(folderOf('chair'), at, at);
      await utimes(join(folderOf('chair'), '..'), at, at);
      expect(await found(now)).toEqual(['chair 1', 'sofa 1']);
    }
    const longAgo = new Date(now - 3_600_000);
    await utimes(folderOf('chair'), longAgo, longAgo);
    expect(await found(now)).toEqual(['sofa 1']);
  });

  it('stay below their folder and apart, whatever an id is made of', async () => {
    const hostile = [
      '',
      '.',
      '..',
      '../../../etc/passwd',
      '/abs',
      'a/b',
      'a\\b',
      'a\0b',
      'A',
      'a',
      '\u00e9',
      'e\u0301',
    ];
    const ids = [...hostile, '{id}', '*', ' ', 'x'.repeat(5000), '产品', '\u202egpj', 'con', '-rf', 'a:b'];
    for (const id of ids) expect([id, await calls.open(callOf({ id }))]).toEqual([id, true]);
    for (const id of ids) expect(await calls.story(id)).toEqual([callOf({ id })]);
    expect(Object.keys(await storiesOf()).toSorted()).toEqual(ids.toSorted());
    expect(await readdir(out)).toEqual(['.reshoot']);
  });

  it.each([
    ['cut off', '{"v":1,"run":"r1","id":"cha'],
    ['empty', ''],
    ['of a newer version', JSON.stringify({ ...callOf(), v: 2 })],
    ['of a shape that is none', JSON.stringify({ ...callOf(), sources: 'chair.jpg' })],
  ])('stop everything where one is %s', async (_how, text) => {
    await calls.open(callOf());
    await writeFile(join(folderOf('chair'), '1.json'), text);
    await expect(calls.story('chair')).rejects.toThrow(SurroundingsError);
    await expect(calls.story('chair')).rejects.toThrow(/1\.json: this call record is damaged.*Restore it/);
    await expect(storiesOf()).rejects.toThrow(SurroundingsError);
  });
});

describe('stories', () => {
  const index = (): string => join(out, '.reshoot/index.jsonl');

  beforeEach(async () => {
    for (const id of ['chair', 'lamp', 'sofa']) {
      await calls.open(callOf({ id }));
      if (id !== 'sofa') await calls.close(callOf({ id }), endings.picture);
      await aged(id);
    }
    await calls.reindex(none());
  });

  it('are the same with an index, without, and with a damaged one', async () => {
    const expected = {
      chair: [callOf({ closed: endings.picture })],
      lamp: [callOf({ id: 'lamp', closed: endings.picture })],
      sofa: [callOf({ id: 'sofa' })],
    };
    expect(await storiesOf()).toEqual(expected);
    const whole = (await readFile(index(), 'utf8')).split('\n')[0]!;
    await writeFile(
      index(),
      `{"v":2,"key":"cut\n[]\nnull\n\n{"v":1}\n${whole.replaceAll('"n":1', '"n":"1"')}\n`,
    );
    expect(await storiesOf()).toEqual(expected);
    await rm(index());
    expect(await storiesOf()).toEqual(expected);
  });

  it('read the index once for as long as somebody has it in hand', async () => {
    let reads = 0;
    const readRange: Storage['readRange'] = (name, from, length) => {
      reads += 1;
      return storage.readRange(name, from, length);
    };
    const counted = createCalls({ ...storage, readRange });
    vi.useFakeTimers({ toFake: ['setTimeout'] });
    try {
      const inHand = await counted.stories();
      vi.advanceTimersByTime(3_600_000);
      const before = reads;
      await counted.stories();
      expect(reads).toBe(before);
      expect(await inHand.of('chair')).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
  });

  it('come from the index where no record is newer', async () => {
    await rename(join(folderOf('chair'), '1.json'), join(folderOf('chair'), 'gone'));
    await aged('chair');
    const { changedMs } = (await storage.stat(
      `.reshoot/calls/${keyOf('chair').slice(0, 2)}/${keyOf('chair')}`,
    ))!;
    await writeFile(index(), toLine(keyOf('chair'), changedMs, [callOf({ account: 'indexed' })]));
    expect((await storiesOf())['chair']).toEqual([callOf({ account: 'indexed' })]);
  });

  it('believe a record that is newer than the index', async () => {
    await calls.open(callOf({ n: 2 }));
    await calls.close(callOf({ id: 'sofa' }), endings.timeout);
    expect(await storiesOf()).toMatchObject({
      chair: [{ n: 1 }, { n: 2 }],
      sofa: [{ closed: { outcome: 'unknown' } }],
    });
  });

  it('are read again only where the index has changed, and looked at only where an older look will not do', async () => {
    const read: string[] = [];
    const readRange = (...range: Parameters<Storage['readRange']>) => (
      read.push(range[0]),
      storage.readRange(...range)
    );
    const watched = createCalls({ ...storage, readRange });
    await watched.stories();
    await calls.open(callOf({ n: 2 }));
    expect(await (await watched.stories(performance.now())).of('chair')).toHaveLength(1);
    read.length = 0;
    expect(await (await watched.stories()).of('chair')).toHaveLength(2);
    expect(read).toEqual([]);
  });

  it('forget a row whose records were moved away', async () => {
    await rename(folderOf('lamp'), join(out, 'lamp'));
    expect(Object.keys(await storiesOf()).toSorted()).toEqual(['chair', 'sofa']);
    expect(await (await calls.stories()).of('lamp')).toEqual([]);
    const asked = async function* (): AsyncGenerator<string> {
      yield 'lamp';
    };
    await calls.reindex(asked());
    expect(await readFile(index(), 'utf8')).not.toContain(keyOf('lamp'));
  });

  it('miss no call that follows the index within the grain of the clock', async () => {
    const now = new Date(Date.now() + 1000);
    const call = (n: number) => calls.open(callOf({ n, closed: endings.server_error }));
    await call(2);
    await utimes(folderOf('chair'), now, now);
    await calls.reindex(none());
    await call(3);
    await utimes(folderOf('chair'), now, now);
    expect((await storiesOf())['chair']).toHaveLength(3);
  });

  describe('where nobody has touched a bucket', () => {
    const longAgo = new Date(Date.now() - 3_600_000);
    const bucketsOf = async (): Promise<string[]> => {
      const lines = (await readFile(index(), 'utf8')).trim().split('\n');
      return lines.flatMap((line) => (JSON.parse(line) as { bucket?: string }).bucket ?? []);
    };
    const bucketOf = (id: string): string => keyOf(id).slice(0, 2);

    beforeEach(async () => {
      for (const bucket of await readdir(join(out, '.reshoot/calls')))
        await utimes(join(out, '.reshoot/calls', bucket), longAgo, longAgo);
      await calls.reindex(none());
    });

    it('believe its lines without a look at its rows, but not where a call was open', async () => {
      expect((await bucketsOf()).toSorted()).toEqual([bucketOf('chair'), bucketOf('lamp')].toSorted());
      const asked: string[] = [];
      const watched = { ...storage, dated: (folder: string) => (asked.push(folder), storage.dated(folder)) };
      expect((await storiesOf(createCalls(watched)))['chair']).toHaveLength(1);
      expect(asked).toEqual(['.reshoot/calls', `.reshoot/calls/${bucketOf('sofa')}`]);
    });

    it('do not believe that a damaged index has a line of every row', async () => {
      const text = await readFile(index(), 'utf8');
      await writeFile(index(), text.replace(`"key":"${keyOf('chair')}"`, '"key":"?"'));
      expect(Object.keys(await storiesOf(createCalls(storage)))).toHaveLength(3);
      await createCalls(storage).reindex(none());
      expect((await bucketsOf()).toSorted()).toEqual([bucketOf('chair'), bucketOf('lamp')].toSorted());
    });

    it('tell by their dates that nothing has changed, once no call is open', async () => {
      expect(await calls.reindex(none())).toBeUndefined();
      await calls.close(callOf({ id: 'sofa' }), endings.picture);
      for (const strange of [
        '.DS_Store',
        `${bucketOf('sofa')}/x`,
        `${bucketOf('sofa')}/${keyOf('sofa')} copy`,
      ])
        await mkdir(join(out, '.reshoot/calls', strange));
      for (const folder of [folderOf('sofa'), join(folderOf('sofa'), '..')])
        await utimes(folder, longAgo, longAgo);
      const state = await calls.reindex(none());
      expect(state).toMatch(/^[0-9a-f]{64}$/);
      const [written, { mtimeMs }] = [await readFile(index()), await stat(index())];
      expect(await calls.reindex(none())).toBe(state);
      expect([await readFile(index()), (await stat(index())).mtimeMs]).toEqual([written, mtimeMs]);
      const dated = async (folder: string) => (await storage.dated(folder)).toReversed();
      for (const of of [calls, createCalls(storage), createCalls({ ...storage, dated })]) {
        expect(await of.state()).toBe(state);
        expect((await of.stories()).state).toBe(state);
      }
      await calls.open(callOf({ n: 2 }));
      expect(await calls.state()).not.toBe(state);
      expect((await calls.stories()).state).toBe(await calls.state());
      expect(await calls.reindex(none())).toBeUndefined();
    });

    it('see every call that is opened afterwards, and every row that is held', async () => {
      const before = await calls.stories();
      await calls.open(callOf({ n: 2 }));
      await calls.open(callOf({ id: 'stool' }));
      await calls.hold(callOf({ id: 'lamp', closed: endings.timeout }));
      await calls.close(callOf({ id: 'sofa' }), endings.picture);
      expect(await storiesOf()).toMatchObject({
        chair: [{ n: 1 }, { n: 2 }],
        lamp: [{ on_unknown: 'hold' }],
        sofa: [{ closed: { outcome: 'succeeded' } }],
        stool: [{ n: 1 }],
      });
      expect(await before.of('stool')).toEqual([]);
    });

    it('see a further call and a held row whose process died as they were written', async () => {
      const died = async (): Promise<never> => Promise.reject(new Error('power cut'));
      const create = (name: string, content: string) => storage.create(name, content).then(died);
      const write = (name: string, content: string) => storage.write(name, content).then(died);
      const dying = createCalls({ ...storage, create, write });
      await expect(dying.open(callOf({ n: 2 }))).rejects.toThrow('power cut');
      await expect(dying.hold(callOf({ id: 'lamp', closed: endings.timeout }))).rejects.toThrow('power cut');
      expect(await storiesOf()).toMatchObject({
        chair: [{ n: 1 }, { n: 2 }],
        lamp: [{ on_unknown: 'hold' }],
      });
    });

    it('miss no row when another process rewrites the index meanwhile', async () => {
      const lines = (await readFile(index(), 'utf8')).trim().split('\n').toSorted();
      const rewritten = (order: (string | undefined)[]) => writeFile(index(), `${order.join('\n')}\n`);
      await rewritten(lines);
      await calls.open(callOf({ id: 'desk', closed: endings.picture }));
      await aged('desk');
      const asked = async function* (): AsyncGenerator<string> {
        const [, , chair, lamp] = lines;
        await rewritten([lamp, chair]);
        yield* ['chair', 'desk', 'lamp'];
      };
      await calls.reindex(asked());
      const all = ['chair', 'desk', 'lamp', 'sofa'];
      expect(Object.keys(await storiesOf(createCalls(storage))).toSorted()).toEqual(all);
    });

    it('leave out a bucket that was just touched, whose call may come as the next', async () => {
      const touched = join(folderOf('chair'), '..');
      await utimes(touched, new Date(), new Date());
      await calls.reindex(none());
      expect(await bucketsOf()).toEqual([bucketOf('lamp')]);
    });

    it('leave out a row whose last call is open, though an earlier one has ended', async () => {
      await calls.open(callOf({ id: 'lamp', n: 2 }));
      await aged('lamp');
      const later = new Date(longAgo.getTime() + 60_000);
      await utimes(join(folderOf('lamp'), '..'), later, later);
      await calls.reindex(none());
      expect(await readFile(index(), 'utf8')).not.toContain(keyOf('lamp'));
      await calls.close(callOf({ id: 'lamp', n: 2 }), endings.picture);
      expect((await storiesOf())['lamp']?.at(-1)?.closed).toEqual(endings.picture);
    });

    it('take no line for another, though the index looks the same', async () => {
      await calls.open(callOf({ id: 'desk', closed: endings.picture }));
      const { atime, mtime } = await stat(index());
      const asked = async function* (): AsyncGenerator<string> {
        const text = await readFile(index(), 'utf8');
        await writeFile(index(), text.replace(keyOf('lamp'), keyOf('seat')));
        await utimes(index(), atime, mtime);
        yield 'lamp';
      };
      await utimes(index(), atime, mtime);
      await expect(calls.reindex(asked())).rejects.toThrow('was replaced by another process');
    });

    it('leave out a bucket that was touched while the index was made', async () => {
      await calls.open(callOf({ n: 2, closed: endings.picture }));
      await calls.reindex(none());
      expect(await bucketsOf()).toEqual([bucketOf('lamp')]);
      expect((await storiesOf())['chair']).toHaveLength(2);
    });
  });

  it('have no row whose process died before it wrote a call', async () => {
    await mkdir(folderOf('stool'), { recursive: true });
    await aged('stool');
    for (const of of [calls, createCalls(storage)]) {
      expect(Object.keys(await storiesOf(of)).toSorted()).toEqual(['chair', 'lamp', 'sofa']);
      await of.reindex(none());
      expect(await readFile(index(), 'utf8')).not.toContain(keyOf('stool'));
    }
    expect(await calls.open(callOf({ id: 'stool' }))).toBe(true);
    expect((await storiesOf())['stool']).toHaveLength(1);
  });

  it('are read from their records when the index is replaced under way', async () => {
    const stories = await calls.stories();
    const text = await readFile(index(), 'utf8');
    await writeFile(index(), `${'x'.repeat(7)}\n${text}`);
    expect(await stories.of('chair')).toEqual([callOf({ closed: endings.picture })]);
    await expect(listOf(stories.all())).rejects.toThrow('was replaced by another process');
    await writeFile(index(), text);
    const others = await createCalls(storage).stories();
    await writeFile(index(), text.replace(keyOf('lamp'), keyOf('seat')));
    expect(await others.of('lamp')).toHaveLength(1);
    await expect(listOf(others.all())).rejects.toThrow('was replaced by another process');
  });

  it('are read anew where another index of the same length and date has come in its place', async () => {
    const date = new Date(1_760_000_000_000);
    await utimes(index(), date, date);
    const first = await calls.stories();
    const lines = (await readFile(index(), 'utf8')).trimEnd().split('\n');
    await writeFile(index(), `${lines.toReversed().join('\n')}\n`);
    await utimes(index(), date, date);
    await expect(listOf((await calls.stories()).all())).rejects.toThrow('was replaced by another process');
    expect(await listOf((await calls.stories()).all())).toHaveLength(3);
    expect(await first.of('chair')).toHaveLength(1);
  });

  it('are not sealed where their index can not be written', async () => {
    await calls.open(callOf({ n: 2 }));
    const write = () => Promise.reject(new Error('no room on the disk'));
    await expect(createCalls({ ...storage, write }).reindex(none())).rejects.toThrow('no room on the disk');
  });

  it('come in the order that was asked for, those nobody asked for last', async () => {
    for (const id of ['stool', 'desk']) {
      await calls.open(callOf({ id, closed: endings.picture }));
      await aged(id);
    }
    const asked = async function* (): AsyncGenerator<string> {
      yield* ['stool', 'none', 'lamp'];
    };
    await calls.reindex(asked());
    const stories = await calls.stories();
    const all = await listOf(stories.all());
    expect(all.map(({ id }) => id).slice(0, 2)).toEqual(['stool', 'lamp']);
    expect(all).toHaveLength(5);
    for (const id of ['desk', 'sofa', 'stool']) await stories.of(id);
    expect((await listOf(stories.unasked())).map(({ id }) => id).toSorted()).toEqual(['chair', 'lamp']);
    expect(await listOf(stories.all(({ run }) => run === 'another'))).toHaveLength(1);
  });

  it('tell of each line when and by whom its last call was made, and how many pictures it has', async () => {
    const lines: Record<string, Partial<Call>[]> = {
      stool: [
        { run: 'r1', closed: endings.picture },
        { run: 'r3', closed: endings.timeout },
      ],
      desk: [
        { run: 'r2', closed: endings.picture },
        { run: 'r2', closed: endings.picture },
      ],
      bench: [{ run: 'r3', closed: endings.server_error }],
    };
    const at = (id: string, n: number): string => new Date(Date.UTC(2026, 9, id.length, n)).toISOString();
    for (const [id, made] of Object.entries(lines)) {
      for (const [i, call] of made.entries())
        await calls.open(callOf({ ...call, id, n: i + 1, started_at: at(id, i + 1) }));
      await aged(id);
    }
    const asked = async function* (): AsyncGenerator<string> {
      yield* Object.keys(lines);
    };
    await calls.reindex(asked());
    const facts: LineFacts[] = [];
    const stories = await createCalls(storage).stories();
    await listOf(stories.all((of) => facts.push(of) > 0));
    expect(facts.slice(0, 3)).toEqual([
      { run: 'r3', at: Date.parse(at('stool', 2)), pictures: 1 },
      { run: 'r2', at: Date.parse(at('desk', 2)), pictures: 2 },
      { run: 'r3', at: Date.parse(at('bench', 1)), pictures: 0 },
    ]);
    const of3 = (some: typeof stories.all) => listOf(some(({ run }) => run === 'r3'));
    for (const some of [stories.all, stories.unasked])
      expect((await of3(some)).map(({ id }) => id)).toEqual(['stool', 'bench', 'sofa']);
    for (const [id, count] of [
      ['stool', 2],
      ['sofa', 1],
      ['none', 0],
    ] as const)
      expect(await stories.peek(id)).toHaveLength(count);
    await stories.of('bench');
    expect((await of3(stories.unasked)).map(({ id }) => id)).toEqual(['stool', 'sofa']);
  });

  it('are one a row, however often its id was asked for, and however many lines it has', async () => {
    const asked = async function* (): AsyncGenerator<string> {
      yield* ['chair', 'lamp', 'chair', 'lamp'];
    };
    const reindexed = async (): Promise<number> => {
      await calls.reindex(asked());
      return (await readFile(index(), 'utf8')).match(/"key"/g)?.length ?? 0;
    };
    await aged('sofa');
    expect(await reindexed()).toBe(2);
    await rm(index());
    expect(await reindexed()).toBe(2);
    await writeFile(index(), (await readFile(index(), 'utf8')).replace(/^(.*"key".*\n)/, '$1$1'));
    const stories = await calls.stories();
    for (const id of ['lamp', 'chair']) await stories.of(id);
    expect((await listOf(stories.unasked())).map(({ id }) => id)).toEqual(['sofa']);
    expect(await listOf(stories.all())).toHaveLength(3);
  });

  it('mind no strange file among the records', async () => {
    await writeFile(join(out, '.reshoot/calls/.DS_Store'), 'x');
    for (const name of ['notes.txt', 'copy of 1.json', '1.json.bak'])
      await writeFile(join(folderOf('chair'), name), 'x');
    expect(await calls.story('chair')).toHaveLength(1);
    await writeFile(join(folderOf('chair'), '..', 'x'), 'x');
    expect(Object.keys(await storiesOf()).toSorted()).toEqual(['chair', 'lamp', 'sofa']);
    await calls.reindex(none());
    expect(Object.keys(await storiesOf()).toSorted()).toEqual(['chair', 'lamp', 'sofa']);
  });
});

describe('runs', () => {
  const run: Run = {
    v: 1,
    run: 'r1',
    manifest: 'goods.csv',
    origin: 'https://api.example',
    started_at: '2026-11-01T10:00:00.000Z',
    plan: 'p',
    rows: 2,
    columns: ['sku', '2024'],
    max_attempts: 4,
    retry_budget: 10,
    timeout_ms: 300_000,
    force: false,
  };
  const lineOf = (row: Row): string => planLine(row).text;

  it('are those whose options are written, the oldest first', async () => {
    const runs = createRuns(storage);
    expect(await runs.list()).toEqual([]);
    const second = Date.parse('2026-11-01T10:00:00.000Z');
    const ids = [0, 1, 999, 1000, 3_600_000].map((ms, i) => newRunId(new Date(second + ms), `${9 - i}f`));
    for (const id of ids.toReversed()) await runs.write({ ...run, run: id });
    await runs.writePlan('r0-cut-off', []);
    expect(await runs.list()).toEqual(ids);
    const list = async (folder: string) => (await storage.list(folder)).toReversed();
    expect(await createRuns({ ...storage, list }).list()).toEqual(ids);
    for (const id of ids) expect(id).toMatch(/^[\w-]{1,60}$/);
  });

  it('are in the order in which they began, though the clock was set back', async () => {
    const runs = createRuns(storage);
    const now = new Date('2026-11-01T10:00:00.000Z');
    for (const ahead of [
      'r20261101T095959999-ffffff',
      'r20261101T100000000-ffffff',
      'r20261231T235959999-ffffff',
    ])
      await runs.write({ ...run, run: ahead });
    const latest = (await runs.list()).at(-1);
    const id = newRunId(now, 'a', latest);
    await runs.write({ ...run, run: id });
    expect((await runs.list()).at(-1)).toBe('r20270101T000000000-a');
    expect(newRunId(now, 'a', 'r20261101T095959999-ff')).toBe('r20261101T100000000-a');
    for (const other of [undefined, 'r1', 'r0-x', 'r2026111T1'])
      expect(newRunId(now, 'a', other)).toBe('r20261101T100000000-a');
  });

  it('read their options back, the latest as they were given', async () => {
    const runs = createRuns(storage);
    const given: Run = { ...run, max_credits: 7, on_unknown: 'hold', halt_share: 0.1, force: true };
    await runs.write(run);
    await runs.write(given);
    expect(await runs.read('r1')).toEqual(given);
    const note = { file: 'goods.csv', line: 2, problem: 'p', remedy: 'r' };
    const asked: Run = {
      ...run,
      run: 'r3',
      on_unknown: 'retry',
      asked: { hash: 'h', rows: 's', notes: [note] },
    };
    await runs.write(asked);
    expect(await runs.read('r3')).toEqual(asked);
    await expect(runs.read('r2')).rejects.toThrow(/run r2 is not in this output.*r2\/run\.json is gone/);
    await storage.write('.reshoot/runs/r1/run.json', JSON.stringify({ ...run, rows: 'two' }));
    await expect(runs.read('r1')).rejects.toThrow('run.json is damaged or of a newer reshoot');
  });

  it('give back every row of the plan, in order, all of it and each from its place', async () => {
    const runs = createRuns(storage);
    const text = fc.string({ unit: 'binary' });
    const name = text.filter((name) => name !== '__proto__');
    const lines = fc.array(fc.record({ id: text, prompt: text, columns: fc.dictionary(name, text) }));
    let plans = 0;
    await fc.assert(
      fc.asyncProperty(lines, async (lines) => {
        const rows = lines.map((line, i) => rowOf(i + 1, line));
        const id = `plan-${(plans += 1)}`;
        await runs.writePlan(id, rows.map(lineOf));
        const read = await planOf(runs, id);
        expect(read.map(({ row }) => row)).toEqual(rows);
        for (const { row, place } of read) expect(await runs.row(id, place)).toEqual(row);
      }),
      { numRuns: 30 },
    );
  });

  it('keep what a row may have beside the rest', async () => {
    const runs = createRuns(storage);
    const url = { kind: 'url', url: 'https://shop.example/a.jpg' } as const;
    const rows = [
      rowOf(1, { replaces: ['a.jpg'], pictures: [url, url] }),
      rowOf(2, { invalid: 'no such picture', selected: false, route: 2 }),
    ];
    await runs.writePlan('r1', rows.map(lineOf));
    expect((await planOf(runs, 'r1')).map(({ row }) => row)).toEqual(rows);
  });

  it('take no row for another, and no part of a plan for the whole', async () => {
    const runs = createRuns(storage);
    await runs.writePlan('r1', [rowOf(1), rowOf(2)].map(lineOf));
    const [first, second] = await planOf(runs, 'r1');
    await expect(runs.row('r1', { ...first!.place, row: 2 })).rejects.toThrow('row 2 is not at its place');
    await expect(runs.row('r1', { ...second!.place, from: 3 })).rejects.toThrow();
    const text = (await storage.read('.reshoot/runs/r1/plan.jsonl'))!.toString();
    await storage.write('.reshoot/runs/r1/plan.jsonl', text.slice(0, -1));
    await expect(planOf(runs, 'r1')).rejects.toThrow('the plan is cut off');
  });

  it('have a plan whose bytes are as they were written, and do not take one that is gone for an empty one', async () => {
    const runs = createRuns(storage);
    await runs.writePlan('r1', [rowOf(1), rowOf(2)].map(lineOf));
    expect(Buffer.concat(await listOf(runs.planBytes('r1'))).toString()).toBe(
      lineOf(rowOf(1)) + lineOf(rowOf(2)),
    );
    await expect(planOf(runs, 'r2')).rejects.toThrow('the plan of run r2 is gone');
    for (const damage of ['x', '{"id":"a"}']) {
      await runs.writePlan('r1', [damage + lineOf(rowOf(1))]);
      await expect(planOf(runs, 'r1')).rejects.toThrow(/^the plan is cut off or damaged/);
    }
  });

  it.each([
    { row: 1.5 },
    { id: 7 },
    { prompt: null },
    { output: undefined },
    { columns: 'sku' },
    { selected: 1 },
    { route: 3 },
    { pictures: {} },
  ])('take nothing for a row of a plan that has %o', async (damage) => {
    const runs = createRuns(storage);
    await runs.writePlan('r1', [
      `${JSON.stringify({ ...rowOf(1), row: 1, ...damage }).replace('"row":1.5', '"row":1,"row":1.5')}\n`,
    ]);
    const [[planned] = []] = await listOf(runs.plan('r1'));
    expect(() => planned?.read()).toThrow(/row 1: the plan is cut off or damaged/);
    await expect(runs.row('r1', planned!.place)).rejects.toThrow('this is no row of a plan');
  });

  it('are on until they are told otherwise', async () => {
    const runs = createRuns(storage);
    expect(await runs.steering('r1')).toBe('running');
    for (const state of ['paused', 'cancelled', 'running'] as const) {
      await runs.steer('r1', state);
      expect(await createRuns(storage).steering('r1')).toBe(state);
    }
    expect(await runs.steering('r2')).toBe('running');
  });

  it('note how rows were settled without a call, the latest note standing', async () => {
    const runs = createRuns(storage);
    const source = { kind: 'url', url: 'https://shop.example/a.jpg' } as const;
    const skipped: Note = {
      row: 10,
      status: 'skipped',
      paid_by: { id: 'lamp', n: 2 },
      output: 'a.jpg',
      sources: [source],
    };
    const failed: Note = {
      row: 2,
      status: 'failed',
      error_code: 'input_missing',
      error_message: 'gone',
      sources: [],
    };
    expect(await (await runs.notes('r1'))(2)).toBeUndefined();
    expect(await runs.hasNotes('r1')).toBe(false);
    await runs.note('r1', { row: 2, status: 'held', sources: [] });
    expect(await (await runs.notes('r1'))(2)).toMatchObject({ status: 'held' });
    for (const note of [skipped, failed]) await runs.note('r1', note);
    const notes = await runs.notes('r1');
    expect(await runs.hasNotes('r1')).toBe(true);
    expect(await notes(3)).toBeUndefined();
    expect(await notes(10)).toMatchObject(skipped);
    expect(await notes(2)).toMatchObject(failed);
    expect(await (await runs.notes('r2'))(2)).toBeUndefined();
  });

  it('end once their report exists, with the reason if there is one', async () => {
    const runs = createRuns(storage);
    expect(await runs.end('r1')).toBeUndefined();
    await runs.writeEnd('r1', {
      stop: { code: 8, reason: 'the cap is reached' },
      summary: { rows: { a: 1 } },
    });
    expect(await runs.end('r1')).toMatchObject({
      stop: { code: 8, reason: 'the cap is reached' },
      summary: { rows: { a: 1 } },
    });
    const seal = { calls: 'c', folders: 'f', files: { 'report/calls.csv': '1.2' }, gone: ['lamp'] };
    await runs.writeEnd('r3', { seal, summary: {} });
    expect((await runs.end('r3'))?.seal).toEqual(seal);
    await runs.writeEnd('r2', { summary: {} });
    expect((await runs.end('r2'))?.stop).toBeUndefined();
  });
});

describe('a content', () => {
  it('is taken on by one of many, however many times over', async () => {
    const contents = createContents(storage);
    for (const after of [0, 1]) {
      const rows = [1, 2, 3, 4];
      const taken = await Promise.all(
        rows.map((row) => contents.take('f1', { id: `../${row}`, run: 'r1', row }, after)),
      );
      expect(taken.filter(Boolean)).toHaveLength(1);
      const last = (await contents.takers('f1')).at(after);
      expect(last).toMatchObject({ id: `../${rows[taken.indexOf(true)]}`, run: 'r1' });
    }
    expect(await contents.takers('f1')).toHaveLength(2);
    expect(await contents.takers('f2')).toEqual([]);
  });
});

describe('a sighting', () => {
  const facts = { kind: 'file', path: '/photos/a.jpg', bytes: 9, mtimeMs: 1.5, ino: 7 } as const;
  const url = { kind: 'url', url: 'https://shop.example/a.jpg' } as const;

  it('tells the content of the very same file, and of no other', async () => {
    const sightings = createSightings(storage);
    expect(await sightings.of([facts])).toBeUndefined();
    await sightings.note([{ ...facts, sha256: 'aa' }, url]);
    await sightings.note([{ ...facts, sha256: 'aa' }]);
    expect(await createSightings(storage).of([url, facts])).toEqual([url, { ...facts, sha256: 'aa' }]);
    for (const change of [{ path: '/b.jpg' }, { bytes: 10 }, { mtimeMs: 2 }, { ino: 8 }])
      expect(await sightings.of([facts, { ...facts, ...change }])).toBeUndefined();
  });

  it('is none where it is damaged, and is written anew', async () => {
    const sightings = createSightings(storage);
    await sightings.note([{ ...facts, sha256: 'aa' }]);
    const [bucket = ''] = await storage.list('.reshoot/seen');
    const [name = ''] = await storage.list(`.reshoot/seen/${bucket.slice(0, -1)}`);
    await writeFile(join(out, '.reshoot/seen', bucket, name), '{"v":1,"kind":"fi');
    expect(await sightings.of([facts])).toBeUndefined();
    await sightings.note([{ ...facts, sha256: 'aa' }]);
    expect(await sightings.of([facts])).toEqual([{ ...facts, sha256: 'aa' }]);
  });
});

describe('storeId', () => {
  it("is the output's own, the same for all who ask at once", async () => {
    const ids = await Promise.all(Array.from({ length: 20 }, async () => storeId(await openFolder(out))));
    expect(new Set(ids).size).toBe(1);
    expect(ids[0]).toMatch(/^[\da-f-]{36}$/);
    expect(await storeId(await openFolder(join(out, 'other')))).not.toBe(ids[0]);
  });
});
