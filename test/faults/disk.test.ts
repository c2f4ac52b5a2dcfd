import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse } from 'csv-parse/sync';
import sharp from 'sharp';
import { afterEach, describe, expect } from 'vitest';
import { createRig, prompts, steady, until, type Rig, type RigOptions } from '../fixtures/rig.ts';
import { canMount, mountSmallDisk, type SmallDisk } from '../fixtures/small-disk.ts';
import { expectAllDone } from './done.ts';
import { fault, longFault } from './fault.ts';

let rig: Rig;
let disk: SmallDisk | undefined;
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig(options);
};
const openOnDisk = async (bytes: number, options: RigOptions = {}): Promise<SmallDisk> => {
  await open(options);
  return (disk = await mountSmallDisk(rig.out, bytes));
};
afterEach(async () => {
  await disk?.close();
  disk = undefined;
  await rig.close();
});

const KB = 1024;
const MB = 1024 * KB;
/** Pictures of about 20 KB. */
const options = ['-o', 'out', '--size', '512x512'];

const charged = (): number => rig.simulator.calls.filter((call) => call.charged).length;

/** What stands at final names; all of it are whole pictures. */
async function wholePictures(): Promise<string[]> {
  const entries = await readdir(rig.out, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  for (const name of names) await sharp(join(rig.out, name), { failOn: 'warning' }).raw().toBuffer();
  return names;
}

/** It ends with what happened and how to go on. */
const brokenOff = (why: RegExp) => ({
  code: 1,
  stderr: expect.stringMatching(new RegExp(`${why.source}[^]*run the same command again`)),
});

describe.skipIf(!canMount)('the disk of the output (only root may mount one)', () => {
  fault('F56 is full at any byte: the run ends, and goes on once there is room', async (dice) => {
    const bytes = dice.between(1, 200) * KB;
    const small = await openOnDisk(bytes, { latency: { min: 100, max: 600 } });
    const file = await rig.manifest(prompts(8));
    const few = ['--concurrency', String(dice.between(1, 8))];
    const full = await rig.run(['run', file, ...options, ...few], { answerBytes: 0 });
    expect(full).toMatchObject(brokenOff(/ENOSPC/));
    const kept = await wholePictures();
    const paid = charged();
    await small.resize(64 * MB);
    const { code, stderr } = await rig.run(['run', file, ...options], { answerBytes: 0 });
    expect({ code, stderr }).toMatchObject({ code: 0 });
    await expectAllDone(rig, 8);
    const why = /reshoot: .*/.exec(full.stderr)?.[0] ?? '';
    return `${bytes / KB} KB: ${kept.length} of ${paid} paid pictures were kept: ${why}`;
  });

  fault('F56 has too little room: nothing is paid that might not be kept', async (dice) => {
    const small = await openOnDisk(dice.between(16, 40) * MB, { latency: steady(dice.between(50, 500)) });
    const file = await rig.manifest(prompts(8));
    const full = await rig.run(['run', file, ...options]);
    expect(full).toMatchObject(brokenOff(/Make some room/));
    expect(charged()).toBe((await wholePictures()).length);
    const before = charged();
    await small.resize(512 * MB);
    const { code, stderr } = await rig.run(['run', file, ...options]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    await expectAllDone(rig, 8);
    expect(charged()).toBe(8);
    return `stopped after ${before} calls: ${/reshoot: .*/.exec(full.stderr)?.[0]}`;
  });

  longFault('F57 can only be read from some moment on: the run ends, and goes on later', async (dice) => {
    const small = await openOnDisk(512 * MB, { limit: 4, latency: { min: 100, max: 900 } });
    const file = await rig.manifest(prompts(8));
    const run = rig.start(['run', file, ...options]);
    const calls = dice.between(1, 4);
    await until(() => rig.simulator.calls.length >= calls, 60_000);
    await sleep(dice.between(0, 2000));
    await small.readOnly();
    const ended = await run.ended;
    expect(ended).toMatchObject(brokenOff(/EROFS/));
    const kept = await wholePictures();
    await small.writable();
    const { code, stderr } = await rig.run(['run', file, ...options]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    await expectAllDone(rig, 8);
    return `with ${kept.length} pictures: ${/reshoot: .*/.exec(ended.stderr)?.[0]}`;
  });

  longFault('F60 is full when the report is written: the old one stays whole', async (dice) => {
    const small = await openOnDisk(64 * MB);
    const file = await rig.manifest(prompts(6));
    expect(await rig.run(['run', file, ...options], { answerBytes: 0 })).toMatchObject({ code: 0 });
    const old = await report();
    await small.resize((await small.used()) + dice.between(0, 5) * 4 * KB);
    const { code, stderr } = await rig.run(['report', 'out']);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('ENOSPC') });
    expect(await report()).toEqual(old);
    await small.resize(64 * MB);
    expect(await rig.run(['report', 'out'])).toMatchObject({ code: 0 });
    expect(await report()).toEqual(old);
    return stderr;
  });
});

fault(
  'F57 the output is gone from some moment on: the run ends, and goes on when it is back',
  async (dice) => {
    await open({ limit: 4, latency: { min: 100, max: 900 } });
    const file = await rig.manifest(prompts(8));
    const run = rig.start(['run', file, ...options]);
    const calls = dice.between(1, 4);
    await until(() => rig.simulator.calls.length >= calls, 60_000);
    await sleep(dice.between(0, 2000));
    const away = `${rig.out}.away`;
    await rename(rig.out, away);
    const ended = await run.ended;
    expect(ended).toMatchObject(brokenOff(/(ENOENT|gone)/));
    const madeAnew = await readdir(rig.out).catch(() => []);
    expect(madeAnew).toEqual([]);
    await rm(rig.out, { recursive: true, force: true });
    await rename(away, rig.out);
    const { code, stderr } = await rig.run(['run', file, ...options]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    await expectAllDone(rig, 8);
    return /reshoot: .*/.exec(ended.stderr)?.[0] ?? '';
  },
);

longFault('F60 killed at any change of the report: the old one or the new one is whole', async (dice) => {
  await open();
  const first = await rig.manifest(prompts(3));
  expect(await rig.run(['run', first, ...options])).toMatchObject({ code: 0 });
  const file = await rig.manifest(prompts(5));
  const killed = await rig.run(['run', file, ...options], {
    operationsOn: '/report/',
    killAtOperation: dice.between(1, 30),
  });
  expect(killed.signal).toBe('SIGKILL');
  const files = await report();
  const rows = files['results.jsonl']!.trim().split('\n');
  expect([3, 5]).toContain(rows.map((row) => JSON.parse(row) as unknown).length);
  expect([3, 5]).toContain(table(files['results.csv']).length);
  for (const name of ['failed.csv', 'calls.csv', 'runs.csv']) table(files[name]);
  expect(JSON.parse(files['summary.json']!)).toHaveProperty('exit_code');
  expect(files['index.html']).toMatch(/<\/html>\s*$/);
  expect(await rig.run(['report', 'out'])).toMatchObject({ code: 0 });
  expect(await rig.results()).toHaveLength(5);
  expect(await rig.run(['run', file, ...options])).toMatchObject({ code: 0 });
  await expectAllDone(rig, 5);
  return /killed before .*/.exec(killed.stderr)?.[0] ?? '';
});

const table = (text = ''): unknown[] => parse(text, { bom: true, columns: true });

/** The report's files, but for those on their way. */
async function report(): Promise<Record<string, string>> {
  const folder = join(rig.out, 'report');
  const entries = await readdir(folder, { withFileTypes: true });
  const names = entries.flatMap((entry) =>
    entry.isFile() && !entry.name.startsWith('.') ? [entry.name] : [],
  );
  const texts = names.map(async (name) => [name, await readFile(join(folder, name), 'utf8')] as const);
  return Object.fromEntries(await Promise.all(texts));
}
