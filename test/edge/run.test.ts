import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { startRedis } from '../fixtures/redis.ts';
import { createRig, prompts, until, type Rig, type RigOptions } from '../fixtures/rig.ts';

let rig: Rig;
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig(options);
};
afterEach(() => rig.close());

/** The report and the simulator's own log say the same of money. */
async function expectBooksToAgree(): Promise<void> {
  const results = await rig.results();
  const calls = results.flatMap((row) => row.calls);
  const charged = rig.simulator.calls.filter((call) => call.charged).length;
  const paid = calls.filter((call) => call.charged === 'yes').length;
  const unknown = calls.filter((call) => call.charged === 'unknown').length;
  expect(charged).toBeGreaterThanOrEqual(paid);
  expect(charged).toBeLessThanOrEqual(paid + unknown);
}

describe('a run', () => {
  it('writes pictures and reports, and the second time skips everything', async () => {
    await open();
    const file = await rig.manifest(prompts(5), { colour: ['red', 'green', 'blue', '=1+1', '白'] });
    const first = await rig.run(['run', file, '-o', 'out', '--size', '1K', '--json']);
    expect(first).toMatchObject({ code: 0 });
    expect(JSON.parse(first.stdout)).toMatchObject({
      rows: { succeeded: 5 },
      calls: 5,
      credits: { charged: 5, unknown: 0 },
    });
    for (const { output, sha256 } of await rig.results()) {
      expect((await stat(join(rig.out, output ?? ''))).size).toBeGreaterThan(1000);
      expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    }
    expect(await readdir(join(rig.out, 'report'))).toEqual(
      expect.arrayContaining([
        'calls.csv',
        'failed.csv',
        'results.csv',
        'results.jsonl',
        'runs.csv',
        'summary.json',
      ]),
    );
    const again = await rig.run(['run', file, '-o', 'out', '--size', '1K', '--json']);
    expect(again.code).toBe(0);
    expect(JSON.parse(again.stdout)).toMatchObject({ rows: { skipped: 5 }, calls: 0 });
    expect(rig.simulator.calls).toHaveLength(5);
    await expectBooksToAgree();
  });

  it('tries the other route, reports what failed for good, and does only failed.csv again', async () => {
    await open();
    const file = await rig.manifest([
      'fine',
      'bad [sim:400*]',
      'flaky [sim:503]',
      'route 1 is dead [sim:500*@1]',
    ]);
    const { code } = await rig.run(['run', file, '-o', 'out', '--size', '1K']);
    expect(code).toBe(6);
    const [fine, bad, flaky, dead] = await rig.results();
    expect(fine).toMatchObject({ status: 'succeeded', attempts: 1 });
    expect(bad).toMatchObject({ status: 'failed', error_code: 'bad_request', attempts: 1, charged: 'no' });
    expect(flaky).toMatchObject({ status: 'succeeded', attempts: 2, charged: 'unknown' });
    expect(flaky!.calls.map((call) => call.route)).toEqual([1, 2]);
    expect(dead!.calls.map((call) => call.route)).toEqual([1, 2]);
    const failed = join(rig.out, 'report', 'failed.csv');
    expect(await readFile(failed, 'utf8')).toContain('bad [sim:400*]');
    const calls = rig.simulator.calls.length;
    const again = await rig.run(['run', failed, '-o', 'out']);
    expect(again.code).toBe(6);
    expect(rig.simulator.calls).toHaveLength(calls);
    expect(await rig.results()).toHaveLength(4);
  });
});

it('killed with calls in flight says which may be paid twice', async () => {
  await open({ latency: { min: 1500, max: 1500 } });
  const file = await rig.manifest(prompts(6));
  const first = rig.start(['run', file, '-o', 'out', '--size', '1K']);
  await until(() => rig.atWork() >= 3);
  first.kill('SIGKILL');
  expect((await first.ended).signal).toBe('SIGKILL');
  const { code } = await rig.run(['run', file, '-o', 'out', '--size', '1K']);
  expect(code).toBe(0);
  const results = await rig.results();
  expect(results.filter((row) => row.charged === 'unknown').length).toBeGreaterThanOrEqual(1);
  expect(results.every((row) => row.status === 'succeeded')).toBe(true);
  const runs = new Set(results.flatMap((row) => row.calls.map((call) => call.n)));
  expect([...runs]).toEqual(expect.arrayContaining([1, 2]));
  await expectBooksToAgree();
});

it('killed, and its plan replaced: nothing of the old plan is sent any more', async () => {
  const redis = await startRedis();
  await open({ redisUrl: redis.url, latency: { min: 500, max: 500 } });
  const short = { lockMs: 1000, stalledMs: 500 };
  const old = await rig.manifest(prompts(8).map((prompt) => `old ${prompt}`));
  const first = rig.start(['run', old, '-o', 'out', '--size', '1K', '--concurrency', '2'], short);
  await until(() => rig.atWork() >= 2);
  first.kill('SIGKILL');
  await first.ended;
  const sent = rig.simulator.calls.length;
  const file = await rig.manifest(prompts(8).map((prompt) => `new ${prompt}`));
  const { code } = await rig.run(['run', file, '-o', 'out', '--size', '1K'], short);
  await redis.close();
  expect(code).toBe(0);
  const later = rig.simulator.calls.slice(sent).map((call) => call.row);
  expect(later).toHaveLength(8);
  expect(later.filter((row) => row?.startsWith('old'))).toEqual([]);
  expect((await rig.results()).map(({ status }) => status)).toEqual(
    Array.from({ length: 8 }, () => 'succeeded'),
  );
});
