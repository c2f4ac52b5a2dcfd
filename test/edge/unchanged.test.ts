import { execFile } from 'node:child_process';
import {
  appendFile,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { reportAgain } from '../../src/batch/finish.ts';
import { openOutput } from '../../src/batch/output.ts';
import { askedFrom } from '../../src/batch/asked.ts';
import { carryOver } from '../../src/batch/unchanged.ts';
import { readPlanOptions } from '../../src/commands/plan-options.ts';
import { check } from '../../src/commands/check.ts';
import { readConfig } from '../../src/config.ts';
import type { Row } from '../../src/model.ts';
import { keyOf } from '../../src/records/call.ts';
import { api, createHand, flagsOf, pixel, type Hand } from '../fixtures/done-by-hand.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';

let server: RedisServer;
let dir: string;
let out: string;
let hand: Hand;
const manifest = (): string => join(dir, 'goods.csv');
const photo = (id: string): string => join(dir, 'photos', `${id}.png`);

const ids = ['chair', 'lamp', 'sofa', '=1+1', 'été'];
const lineOf = (id: string, prompt = 'on {{ground}}'): string =>
  `${id},photos/${id}.png,${prompt},"oak, ""${id}""\nsecond line",white,7\n`;
const header = 'sku,image,prompt,title,ground,2024\n';
const goods = header + ids.map((id) => lineOf(id)).join('');

/** A finished output is made once; every test gets it anew, with the very same pictures. */
beforeAll(async () => {
  server = await startRedis();
  dir = await mkdtemp(join(tmpdir(), 'reshoot-carry-'));
  out = join(dir, 'out');
  hand = await createHand(server.url, out);
  await mkdir(join(dir, 'photos'));
  for (const id of ids) await writeFile(photo(id), pixel);
  await writeFile(manifest(), goods);
  await done();
  await copy(out, join(dir, 'done'));
});
afterAll(async () => {
  await hand.close();
  await server.close();
  await rm(dir, { recursive: true, force: true });
});
const again = async (): Promise<void> => {
  await rm(out, { recursive: true });
  await copy(join(dir, 'done'), out);
  await writeFile(manifest(), goods);
};
beforeEach(again);

const copy = (from: string, to: string) => promisify(execFile)('cp', ['-a', from, to]);

const flags = flagsOf();

/** Does all, so that the next run may be carried over. */
async function done(given = flags): Promise<void> {
  const { called } = await hand.run(manifest(), given);
  expect(called).toHaveLength(ids.length);
}

const runsIn = async (): Promise<string[]> => (await openOutput(out)).runs.list();

async function wasCarried(run: string | undefined): Promise<boolean> {
  return (await (await openOutput(out)).runs.read(run ?? '')).carried_from !== undefined;
}

/** All that a user sees of a check and a run, but for the run's name and times. */
interface Seen {
  checked: string;
  said: string;
  called: string[];
  files: Record<string, string>;
}

async function see(given: typeof flags, between?: Change): Promise<{ seen: Seen; run: string | undefined }> {
  let checked = '';
  const io = { out: (text: string) => void (checked += text), err: () => undefined };
  const config = readConfig({ SPIDERHUBS_BASE_URL: api });
  const stop = new AbortController().signal;
  const message = (error: unknown): string => `error: ${String(error)}`;
  await check(manifest(), { ...given, output: out, json: true }, config, {
    ...io,
    stop,
    ask: undefined,
  }).catch((error: unknown) => (checked += message(error)));
  const ran = await hand
    .run(manifest(), given, (run) => Promise.resolve(between?.(run)))
    .catch((error: unknown) => ({ said: message(error), run: undefined, called: [], settled: [] }));
  const { run, called } = ran;
  const plain = (text: string): string =>
    text
      .replaceAll(/r\d{8}T\d{9}-[0-9a-f]{6}/g, 'RUN')
      .replaceAll(/"bytes_free": \d+|\d+ [kMG]B are free/g, 'FREE')
      .replaceAll(/"(started_at|finished_at)": ?"20[^"]*"(?=,"rows"|,"finished_at"|,\n)/g, '"$1":"TIME"')
      .replaceAll(/20\d\d-(?!11-01)[\d-]+T[\d:.]+Z/g, 'TIME');
  const files: Record<string, string> = {};
  const names = run === undefined ? [] : await readdir(join(out, 'report'));
  for (const name of names.filter((one) => one !== 'thumbs'))
    files[name] = plain(await readFile(join(out, 'report', name), 'utf8'));
  if (run !== undefined) files['plan'] = await readFile(join(out, `.reshoot/runs/${run}/plan.jsonl`), 'utf8');
  return { run, seen: { checked: plain(checked), said: plain(ran.said), called, files } };
}

/** Changes something below `dir`; told the run where there is one. */
type Change = (run?: string) => Promise<unknown>;

/** Sees what the next run makes of the output as it is, and what it would without seals. */
async function bothWays(
  given: typeof flags,
  between?: Change,
): Promise<{ next: Seen; plain: Seen; carried: boolean; gone: string[] | undefined }> {
  await copy(out, join(dir, 'kept'));
  const { seen: next, run } = await see(given, between);
  const carried = run !== undefined && (await wasCarried(run));
  const end = carried ? await (await openOutput(out)).runs.end(run) : undefined;
  await rm(out, { recursive: true });
  await rename(join(dir, 'kept'), out);
  for (const id of await readdir(join(out, '.reshoot/runs'))) {
    const name = join(out, '.reshoot/runs', id, 'end.json');
    const text = await readFile(name, 'utf8').catch(() => '');
    if (text.startsWith('{')) await writeFile(name, text.replace('"seal"', '"no_seal"'));
  }
  const { seen: plain } = await see(given, between);
  return { next, plain, carried, gone: end?.seal?.gone };
}

const rowOf = async (id: string): Promise<Row> => {
  const { runs } = await openOutput(out);
  for await (const rows of runs.plan((await runs.list()).at(-1) ?? ''))
    for (const { read } of rows) if (read().id === id) return read();
  throw new Error(`no row ${id}`);
};
const edit = async (file: string, from: string | RegExp, to: string): Promise<void> => {
  const text = await readFile(file, 'utf8');
  expect(text).toMatch(from);
  await writeFile(file, text.replace(from, to));
};
const latest = async (name: string): Promise<string> =>
  join(out, '.reshoot/runs', (await runsIn()).at(-1) ?? '', name);
const failed = {
  at: '2026-11-01T11:00:40.000Z',
  ms: 40_000,
  outcome: 'failed',
  charged: 'no',
  error_code: 'server_error',
} as const;

/** What may happen to an output and its manifest between two runs, each of which the next run must notice. */
const changes: Record<string, Change> = {
  'an output is gone': () => rm(join(out, 'lamp.png')),
  'a strange file stands beside an output': () => writeFile(join(out, 'lamp.jpg'), 'mine'),
  'an output was renamed': () => rename(join(out, 'lamp.png'), join(out, 'LAMP.png')),
  'a prompt has changed': () => edit(manifest(), 'on {{ground}}', 'on grey'),
  'a column has changed': () => edit(manifest(), 'white', 'grey'),
  'a row was added': () => appendFile(manifest(), lineOf('chair').replace('chair,', 'stool,')),
  'a row was taken out': () => edit(manifest(), lineOf('sofa'), ''),
  'a call was made by another run': async () => hand.call(await rowOf('lamp'), 'r20261101T110000000-other0'),
  'a call failed in another run': async () =>
    hand.call(await rowOf('lamp'), 'r20261101T110000000-other0', { closed: failed }),
  'a call is open': async () =>
    hand.call(await rowOf('lamp'), 'r20261101T110000000-other0', { closed: undefined! }),
  'the records are gone': () => rm(join(out, '.reshoot/calls'), { recursive: true }),
  'a record is gone': async () => {
    await rm(join(out, '.reshoot/calls', keyOf('lamp').slice(0, 2), keyOf('lamp')), { recursive: true });
  },
  'an answer lies in the spool': () => writeFile(join(out, `.reshoot/spool/${keyOf('lamp')}-1.bin`), pixel),
  'the lines of the report were edited': () => edit(join(out, 'report/results.jsonl'), 'white', 'black'),
  'the table of the report was edited': () => edit(join(out, 'report/results.csv'), 'white', 'black'),
  'the table of the report is gone': () => rm(join(out, 'report/results.csv')),
  'the calls of the report are gone': () => rm(join(out, 'report/calls.csv')),
  'the plan is gone': async () => rm(await latest('plan.jsonl')),
  'the plan was edited': async () => edit(await latest('plan.jsonl'), 'on white', 'on black'),
  'the end is damaged': async () => writeFile(await latest('end.json'), '{"v":1,'),
  'the options are damaged': async () => writeFile(await latest('run.json'), '{"v":1}'),
};

const changesOfPictures: Record<string, Change> = {
  'a picture has changed': () => writeFile(photo('lamp'), Buffer.concat([pixel, pixel])),
  'a picture was touched': () => utimes(photo('lamp'), 1, 1),
  'a picture was replaced by a copy': async () => {
    await copy(photo('lamp'), `${photo('lamp')}.new`);
    await rename(`${photo('lamp')}.new`, photo('lamp'));
  },
  'a picture is gone': () => rm(photo('lamp')),
};

/** What happens to an output without consequence for the next run. */
const noChanges: Record<string, Change> = {
  nothing: () => Promise.resolve(),
  'the index is gone': () => rm(join(out, '.reshoot/index.jsonl')),
  'the index is cut off': () => writeFile(join(out, '.reshoot/index.jsonl'), '{"v":2,"key":"'),
  'the page is gone': () => rm(join(out, 'report/index.html')),
  'the summary is gone': () => rm(join(out, 'report/summary.json')),
  'a strange file lies among the records': () => writeFile(join(out, '.reshoot/notes.txt'), 'x'),
};

const otherFlags: Record<string, Partial<typeof flags>> = {
  'another size': { size: '1K' },
  'another name': { name: 'shop/{id}.{ext}' },
  'a limit': { limit: '2' },
  'some ids': { ids: 'lamp' },
  'the force to do it again': { force: true },
  'another map': { map: ['prompt=title'] },
};

/** Would the next run be carried over? */
async function isCarried(given: Partial<typeof flags> = {}): Promise<boolean> {
  const options = readPlanOptions(
    manifest(),
    { ...flags, ...given },
    readConfig({ SPIDERHUBS_BASE_URL: api }),
  );
  const asked = await askedFrom(manifest(), options, out);
  const carried = await carryOver(asked, options, await openOutput(out));
  carried?.check.close();
  return carried !== undefined;
}

describe('a run where all was done before', () => {
  it('is carried over from the last, and looks like any other', async () => {
    const { next, plain, carried, gone } = await bothWays(flags);
    expect(next).toEqual(plain);
    expect([carried, next.called, gone]).toEqual([true, [], []]);
    expect(next.files['results.jsonl']?.match(/"status":"skipped"/g)).toHaveLength(ids.length);
  });

  it.each(Object.entries(noChanges))('is carried over although %s', async (_, change) => {
    await change();
    expect(await isCarried()).toBe(true);
  });

  it.each(Object.entries(changes))('is checked anew when %s', async (_, change) => {
    await change();
    expect(await isCarried()).toBe(false);
  });

  it.each(Object.entries(otherFlags))('is checked anew with %s', async (_, over) => {
    expect(await isCarried(over)).toBe(false);
  });

  it('is carried over again and again, but not when its report was made again', async () => {
    const first = await see(flags);
    const second = await see(flags);
    expect(await wasCarried(second.run)).toBe(true);
    expect({ ...second.seen.files, 'runs.csv': '' }).toEqual({ ...first.seen.files, 'runs.csv': '' });
    await reportAgain(await openOutput(out));
    const third = await see(flags);
    expect(await wasCarried(third.run)).toBe(false);
    expect({ ...third.seen.files, 'runs.csv': '' }).toEqual({ ...first.seen.files, 'runs.csv': '' });
    expect(await isCarried()).toBe(true);
  });

  it('tells of pictures whose rows are gone, of remarks, and of folders', async () => {
    const given = flagsOf({ name: '{ground}/{id}.{ext}' });
    const remarkable = header + ids.map((id) => lineOf(id, 'on {{nothing}}')).join('');
    await writeFile(manifest(), remarkable);
    await done(given);
    await edit(manifest(), lineOf('lamp', 'on {{nothing}}'), '');
    await hand.run(manifest(), given);
    const { next, plain, carried, gone } = await bothWays(given);
    expect(next).toEqual(plain);
    expect([carried, gone]).toEqual([true, ['lamp']]);
    expect(next.checked).toContain('names no column');
  });
});

it.each([
  'a call was made by another run',
  'a call failed in another run',
  'the lines of the report were edited',
  'the table of the report is gone',
  'an output is gone',
])('a run that is carried over ends as any other when, after its plan, %s', async (name) => {
  const { next, plain, carried } = await bothWays(flags, changes[name]);
  expect(next).toEqual(plain);
  expect(carried).toBe(true);
});

it('whatever happens between runs, the next is as if it had been checked anew', async () => {
  const happening = fc.constantFrom(...Object.entries({ ...changes, ...noChanges }), [
    'a run',
    undefined,
  ] as const);
  await fc.assert(
    fc.asyncProperty(
      fc.array(happening, { minLength: 1, maxLength: 3 }),
      fc.context(),
      async (happened, context) => {
        await again();
        for (const [name, change] of happened) {
          context.log(name);
          // What is gone already can't change.
          if (change) await change().catch(() => undefined);
          else await hand.run(manifest(), flags).catch(() => undefined);
        }
        const { next, plain } = await bothWays(flags);
        expect(next).toEqual(plain);
      },
    ),
    { numRuns: 6, endOnFailure: true },
  );
});

describe('rows that were found done are settled with the plan', () => {
  const settled = async (given: typeof flags, change?: Change): Promise<number[]> =>
    (await hand.run(manifest(), given, undefined, () => Promise.resolve(change?.()))).settled;

  it('where nothing has changed since', async () => {
    expect(await settled(flags)).toHaveLength(ids.length);
    expect(await settled({ ...flags, ids: 'lamp,chair' })).toHaveLength(2);
  });

  it.each(['an output is gone', 'a call was made by another run', 'the end is gone'])(
    'but not where %s since',
    async (name) => {
      const endGone = async (): Promise<void> => rm(await latest('end.json'));
      const change = changes[name] ?? endGone;
      expect(await settled({ ...flags, ids: 'lamp,chair' }, change)).toEqual([]);
      await again();
      expect(await settled(flags, change)).toEqual([]);
    },
  );
});

it.each(Object.entries(changesOfPictures))('a run is checked anew when %s', async (_, change) => {
  await rm(out, { recursive: true });
  await writeFile(photo('lamp'), pixel);
  await done();
  expect(await isCarried()).toBe(true);
  await change();
  expect(await isCarried()).toBe(false);
});

it('a run is checked anew where a path that begins with / may lead elsewhere by now', async () => {
  await rm(out, { recursive: true });
  const below = join(dir, dir.slice(1), 'photos');
  await mkdir(join(below, '..'), { recursive: true });
  await rename(join(dir, 'photos'), below);
  await writeFile(join(below, 'lamp.png'), pixel);
  await writeFile(manifest(), goods.replaceAll(',photos/', `,${dir}/photos/`));
  await done();
  expect(await isCarried()).toBe(true);
  await mkdir(join(dir, 'photos'));
  await copyFile(join(below, 'lamp.png'), photo('lamp'));
  expect(await isCarried()).toBe(false);
  expect((await hand.run(manifest(), flags)).called).toEqual(['lamp']);
});
