import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createRig, prompts, small, steady, until, type Rig, type RigOptions } from '../fixtures/rig.ts';

let rig: Rig;
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig(options);
};
afterEach(() => rig.close());

/** Calls that the simulator saw since, as `id prompt route`. */
const seenSince = (count: number): string[] =>
  rig.simulator.calls.slice(count).map((call) => `${call.row?.replace(/ \[.*/, '')} ${call.route}`);

describe('retry', () => {
  it('does what failed for good or is held again, by status, code or name, and leaves the rest as it is', async () => {
    await open();
    const file = await rig.manifest(
      ['fine', 'doubtful [sim:502]', 'refused [sim:400]', 'other [sim:policy,policy]'],
      { colour: ['red', '', 'blue', ''] },
    );
    expect(await rig.run(['run', file, ...small, '--on-unknown', 'hold'])).toMatchObject({ code: 12 });
    const statuses = async (): Promise<string[]> => (await rig.results()).map(({ status }) => status);
    expect(await statuses()).toEqual(['succeeded', 'held', 'failed', 'failed']);
    const cases: [string[], RegExp][] = [
      [['out', '--status', 'broken'], /--status broken: write some of succeeded/],
      [['out', '--code', 'broken'], /--code broken/],
      [['out', '--ids', 'r2,r9'], /--ids r9: no such row/],
      [['out', '--prompt', '{{size}} {{kolour}}'], /\{\{kolour\}\} names no column/],
      [['nowhere'], /no run/],
    ];
    const ends = await Promise.all(cases.map(([args]) => rig.run(['retry', ...args])));
    for (const [i, { code, stderr }] of ends.entries()) {
      expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringMatching(cases[i]![1]) });
    }
    expect(rig.simulator.calls).toHaveLength(5);
    // What a folder's file says of rows is not said of these; what it says of money is.
    await writeFile(join(rig.dir, 'reshoot.yaml'), 'prompt: something else\nroute: 2\nmax-credits: 5\n');

    let seen = rig.simulator.calls.length;
    expect(await rig.run(['retry', 'out', '--status', 'held'])).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('reshoot.yaml: max-credits'),
    });
    expect(seenSince(seen)).toEqual(['doubtful 1']);
    expect(await statuses()).toEqual(['skipped', 'succeeded', 'failed', 'failed']);
    expect((await rig.results())[1]).toMatchObject({ charged: 'unknown', credits: 1, credits_unknown: 1 });

    seen = rig.simulator.calls.length;
    const coded = ['retry', 'out', '--code', 'bad_request', '--prompt', 'a {{colour}} one', '--route', '2'];
    expect(await rig.run(coded)).toMatchObject({ code: 0 });
    expect(seenSince(seen)).toEqual(['a blue one 2']);
    expect(await statuses()).toEqual(['skipped', 'skipped', 'succeeded', 'failed']);

    seen = rig.simulator.calls.length;
    expect(await rig.run(['retry', 'out'])).toMatchObject({ code: 0 });
    expect(seenSince(seen)).toEqual(['other 1']);
    expect(await rig.run(['retry', 'out', '--json'])).toMatchObject({
      code: 0,
      stdout: '{\n  "run": null,\n  "rows": 0\n}\n',
      stderr: expect.stringContaining('No row fits'),
    });
    expect(rig.simulator.calls).toHaveLength(seen + 1);

    const [before] = await rig.results();
    expect(await rig.run(['retry', 'out', '--ids', 'r1', '--prompt', 'anew'])).toMatchObject({ code: 0 });
    expect(seenSince(seen + 1)).toEqual(['anew 1']);
    expect(await statuses()).toEqual(['succeeded', 'skipped', 'skipped', 'skipped']);
    expect((await rig.results())[0]).toMatchObject({
      credits: 2,
      sha256: expect.not.stringMatching(`^${before?.sha256}$`),
    });

    // The manifest asks for the first picture, which comes back with what is known of its call.
    await rig.run(['run', file, ...small]);
    expect(rig.simulator.calls).toHaveLength(seen + 2);
    const [back] = await rig.results();
    expect(back).toMatchObject({ credits: 2, sha256: before?.sha256, started_at: before?.started_at });
  });

  it('refuses what was left out and is wrong in the manifest; an id that stands twice is booked once', async () => {
    await open();
    const file = await rig.manifest(['one', 'two', 'three', 'four'], { output: ['a.png', '', 'a.png', ''] });
    await writeFile(file, (await readFile(file, 'utf8')).replace('"r4"', '"r1"'));
    expect(await rig.run(['run', file, ...small, '--limit', '1'])).toMatchObject({ code: 0 });
    expect((await rig.results()).map(({ status, credits }) => [status, credits])).toEqual([
      ['succeeded', 1],
      ...Array.from({ length: 3 }, () => ['not_attempted', 0]),
    ]);
    expect(await rig.summary()).toMatchObject({ calls: 1, credits: { charged: 1, unknown: 0 } });
    const { code, stderr } = await rig.run(['retry', 'out', '--status', 'not_attempted']);
    expect(stderr).toContain('manifest.csv:4: output: line 2 writes the same file');
    expect(stderr).toContain('manifest.csv:5: id: line 2 has the same id');
    expect([code, rig.simulator.calls.length]).toEqual([2, 1]);
    expect(await rig.run(['retry', 'out', '--ids', 'r2'])).toMatchObject({ code: 0 });
    expect(seenSince(1)).toEqual(['two 1']);
  });

  it('that is cut off goes on with what it was asked for, its cap included', async () => {
    await open({ latency: steady(900) });
    const file = await rig.manifest(prompts(4, '[sim:400]'));
    expect(await rig.run(['run', file, ...small])).toMatchObject({ code: 6 });
    const args = ['retry', 'out', '--max-credits', '3', '--concurrency', '2'];
    const first = rig.start(args);
    await until(() => rig.atWork() === 2);
    first.kill('SIGKILL');
    await first.ended;
    const low = 'Credits: at most 3: the cap of 3 is below the 4 credits that these rows need at least\n';
    const next = await rig.run(args);
    expect(next.stderr).toContain(low);
    expect(next).toMatchObject({ code: 8, stderr: expect.stringContaining('was cut off and goes on') });
    expect(rig.simulator.calls.filter((call) => call.charged)).toHaveLength(3);
    expect((await rig.summary()).credits).toEqual({ charged: 1, unknown: 2 });
  });
});
