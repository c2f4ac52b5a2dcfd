import { copyFile, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { keyOf } from '../../src/records/call.ts';
import { createRig, small, steady, type Result, type Rig, type RigOptions } from '../fixtures/rig.ts';

/** Two files of the same bytes. */
const sources = ['p.png', 'q.png'];
const longAgo = new Date('2026-01-01T00:00:00Z');

let rig: Rig;
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig(options);
  await copyFile(join(rig.dir, 'pictures/p.png'), join(rig.dir, 'pictures/q.png'));
  for (const name of sources) await utimes(join(rig.dir, 'pictures', name), longAgo, longAgo);
};
afterEach(() => rig.close());

const calls = (): number => rig.simulator.calls.filter(({ outcome }) => outcome !== 'rate_limited').length;
const shown = (rows: Result[]): string[] =>
  rows.map(({ id, status, charged }) => `${id} ${status} ${charged}`);
const pictures = async (): Promise<string[]> =>
  (await readdir(rig.out)).filter((name) => name.endsWith('.jpg')).sort();

/** What `check` says of the manifest, against the output. */
async function check(file: string): Promise<{
  credits: { at_least: number };
  changes?: { unchanged: string[] };
}> {
  return JSON.parse((await rig.run(['check', file, ...small, '--json'])).stdout);
}

/** Changes a file's last byte, and nothing by which that would be noticed without reading it. */
async function changeUnseen(path: string): Promise<void> {
  const bytes = await readFile(path);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(path, bytes);
  await utimes(path, longAgo, longAgo);
}

describe('rows that ask for the same', () => {
  it('are one call, though several processes have them in hand, and say who paid', async () => {
    await open({ latency: steady(800) });
    const file = await rig.manifest(['same', 'same', 'other', 'same', 'same']);
    const text = await readFile(file, 'utf8');
    const renamed = text.replace('"r4","pictures/p.png"', '"r4","pictures/q.png"');
    await writeFile(file, renamed);
    expect((await check(file)).credits.at_least).toBe(3);
    const worker = rig.start(['worker', '--concurrency', '2']);
    const { code } = await rig.run(['run', file, ...small, '--concurrency', '2']);
    worker.kill('SIGTERM');
    expect(code).toBe(0);
    expect(calls()).toBe(2);
    const rows = await rig.results();
    const payer = rows.find(({ id, status }) => id !== 'r3' && status === 'succeeded');
    expect(payer).toMatchObject({ charged: 'yes', credits: 1, error_message: null });
    const others = rows.filter(({ id }) => id !== 'r3' && id !== payer?.id);
    expect(others).toHaveLength(3);
    for (const row of others) {
      expect(row).toMatchObject({
        status: 'skipped',
        charged: 'no',
        credits: 0,
        calls: [],
        sha256: payer?.sha256,
      });
      expect(row.error_message).toContain(`note: row "${payer?.id}" asked for the same and paid for it`);
    }
    expect(await pictures()).toEqual(rows.map(({ id }) => `${id}.jpg`));
    expect((await rig.summary()).credits).toEqual({ charged: 2, unknown: 0 });

    // Other bytes in files that look the same: whoever read them would take them for new pictures.
    for (const name of sources) await changeUnseen(join(rig.dir, 'pictures', name));
    const { credits, changes } = await check(file);
    expect([credits.at_least, changes?.unchanged]).toEqual([0, ['r1', 'r2', 'r3', 'r4', 'r5']]);
    expect((await rig.run(['run', file, ...small])).code).toBe(0);
    expect(calls()).toBe(2);
    const again = await rig.results();
    for (const row of rows) row.status = 'skipped';
    expect(again).toEqual(rows);
  });

  it('share a failure and a doubt, which retry then settles for all with one call', async () => {
    await open();
    const file = await rig.manifest([
      'refused [sim:400]',
      'refused [sim:400]',
      'doubtful [sim:502]',
      'doubtful [sim:502]',
    ]);
    const hold = ['run', file, ...small, '--on-unknown', 'hold'];
    expect((await rig.run(hold)).code).toBe(12);
    expect(calls()).toBe(2);
    const ended = (await rig.results()).map(({ status, error_code }) => `${status} ${error_code}`);
    expect(ended).toEqual([...Array(2).fill('failed bad_request'), ...Array(2).fill('held gateway_error')]);
    const messages = (await rig.results()).map(({ error_message }) => error_message ?? '');
    expect(messages.filter((message) => message.includes('(asked once, for row "r'))).toHaveLength(2);

    // Again, without the rows that made the calls.
    const asked = (await rig.results()).filter((row) => row.calls.length > 0);
    const payers = new Set(asked.map(({ id }) => id));
    const left = (await readFile(file, 'utf8')).split('\n').filter((line) => !payers.has(line.slice(1, 3)));
    await writeFile(file, left.join('\n'));
    expect((await rig.run(['run', file, ...small])).code).toBe(12);
    expect(calls()).toBe(2);
    expect((await rig.results()).map(({ status }) => status)).toEqual(['failed', 'held']);
    expect((await rig.run(['retry', 'out', '--status', 'held'])).code).toBe(0);
    expect(calls()).toBe(3);
    expect(await rig.summary()).toMatchObject({ perhaps_twice: 1 });
    expect((await rig.results())[1]?.error_message).toMatch(
      /row "r\d" asked .* its call 1 may have been paid too/,
    );
    expect((await rig.run(['retry', 'out'])).code).toBe(0);
    expect(calls()).toBe(4);
    expect((await rig.results()).map(({ credits }) => credits)).toEqual([1, 1]);
  });

  it('are no series of errors when one call decided for all, in this run or in one before', async () => {
    await open();
    const file = await rig.manifest(Array<string>(32).fill('doubtful [sim:502]'));
    expect((await rig.run(['run', file, ...small, '--on-unknown', 'hold'])).code).toBe(12);
    expect((await rig.run(['run', file, ...small])).code).toBe(12);
    expect((await rig.summary()).rows).toMatchObject({ held: 32 });
    expect(calls()).toBe(1);
  });

  it('finish the answer of a killed one, though it has left the manifest', async () => {
    await open();
    const file = await rig.manifest(['same', 'same']);
    await rig.run(['run', file, ...small, '--concurrency', '1'], { killAt: 'spooled' });
    await writeFile(file, (await readFile(file, 'utf8')).replace('"r1"', '"new"'));
    expect((await rig.run(['run', file, ...small])).code).toBe(0);
    expect(calls()).toBe(1);
    expect(await pictures()).toEqual(['new.jpg', 'r2.jpg']);
    expect(shown(await rig.results())).toEqual(['new skipped no', 'r2 skipped no']);
    expect((await rig.summary()).credits).toEqual({ charged: 0, unknown: 0 });
  });

  it('finish the answer of a killed one once, though all of them look at it at the same time', async () => {
    await open();
    const file = await rig.manifest(Array(9).fill('same'));
    await rig.run(['run', file, ...small, '--concurrency', '1'], { killAt: 'spooled' });
    await writeFile(file, (await readFile(file, 'utf8')).replace('"r9"', '"new"'));
    const { code, stderr } = await rig.run(['run', file, ...small]);
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('no further call')]);
    expect(calls()).toBe(1);
    const rows = await rig.results();
    expect(rows.map(({ status }) => status)).toEqual(Array(9).fill('skipped'));
    expect((await rig.summary()).credits).toEqual({ charged: 0, unknown: 0 });
    expect(await pictures()).toEqual(rows.map(({ id }) => `${id}.jpg`).sort());
    expect(await readdir(join(rig.out, '.reshoot/spool'))).toEqual([]);
    const record = join(rig.out, '.reshoot/calls', keyOf('r1').slice(0, 2), keyOf('r1'), '1.json');
    expect(JSON.parse(await readFile(record, 'utf8')).closed.picture.output).toBe('r1.jpg');
  });
});
