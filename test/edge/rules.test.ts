import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { createRig, prompts, small, until, type Result, type Rig, type RigOptions } from '../fixtures/rig.ts';

let rig: Rig;
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig(options);
};
afterEach(() => rig.close());

/** Of the calls that went out: on a busy machine a slot may grow too old before it is used, which is free. */
const routes = (row: Result | undefined): number[] | undefined =>
  row?.calls.filter(({ outcome }) => outcome !== 'not_sent').map((call) => call.route);
const outcomes = (row: Result): Set<string> => new Set(row.calls.map((call) => call.outcome));
const charged = (): number => rig.simulator.calls.filter((call) => call.charged).length;

describe('attempts', () => {
  const accounts = { SPIDERHUBS_API_KEY: '', SPIDERHUBS_API_KEYS: 'a=sk_live_a,b=sk_live_b' };

  it('take turns with the routes, wait longer each time, and end', async () => {
    await open();
    const file = await rig.manifest(
      [
        'from one [sim:503-envelope*]',
        'from two [sim:503-envelope*]',
        'refused [sim:policy*]',
        'refused by one [sim:policy*@1]',
      ],
      { route: ['', '2', '', ''] },
    );
    expect((await rig.run(['run', file, ...small], {}, accounts)).code).toBe(5);
    const [one, two, refused, half] = await rig.results();
    expect(one).toMatchObject({ status: 'failed', error_code: 'server_error', attempts: 4, charged: 'no' });
    expect(routes(one)).toEqual([1, 2, 1, 2]);
    expect(routes(two)).toEqual([2, 1, 2, 1]);
    expect(refused).toMatchObject({ status: 'failed', error_code: 'content_refused', charged: 'no' });
    expect(routes(refused)).toEqual([1, 2]);
    expect(half).toMatchObject({ status: 'succeeded', attempts: 2, charged: 'yes' });
    expect(new Set(rig.simulator.calls.map((call) => call.account))).toEqual(new Set(['a', 'b']));

    const times = rig.simulator.calls.filter((call) => call.row?.startsWith('from one')).map(({ at }) => at);
    const waits = times.slice(1).map((at, i) => at - times[i]!);
    for (const [i, least] of [800, 1600, 3200].entries()) expect(waits[i]).toBeGreaterThanOrEqual(least);

    const before = rig.simulator.calls.length;
    const twice = ['run', file, ...small, '--ids', 'r1,r2,r3', '--max-attempts', '2'];
    expect((await rig.run(twice, {}, accounts)).code).toBe(5);
    expect(rig.simulator.calls).toHaveLength(before + 4);
    const results = await rig.results();
    expect(routes(results[1])).toEqual([2, 1, 2, 1, 2, 1]);
    expect(results[2]).toMatchObject({ status: 'failed', error_code: 'content_refused', attempts: 2 });
  });

  it('F44: are not spent on a 429, whoever used up the limit', async () => {
    await open();
    const file = await rig.manifest(['stubborn [sim:429,429,429,429,429]', ...prompts(4)]);
    const run = rig.start(['run', file, ...small, '--max-attempts', '1']);
    // Somebody else works for this account.
    await until(async () => {
      await fetch(`${rig.simulator.url}/openapi/v1/image/gpt-image-2/i2i`, {
        method: 'POST',
        headers: { authorization: 'Bearer sk_live_test' },
      });
      return rig.simulator.calls.some((call) => call.process !== '' && call.outcome === 'rate_limited');
    });
    expect((await run.ended).code).toBe(0);
    const results = await rig.results();
    expect(results.every((row) => row.status === 'succeeded' && row.attempts === 1)).toBe(true);
    expect(new Set(results.flatMap((row) => routes(row)))).toEqual(new Set([1]));
    expect(results[0]?.calls.length).toBeGreaterThanOrEqual(6);
    const ends = outcomes(results[0]!);
    ends.delete('not_sent');
    expect(ends).toEqual(new Set(['throttled', 'succeeded']));
    expect(charged()).toBe(5);
  });
});

describe('money', () => {
  it('check never says less than a run can pay, whose retry budget goes by its done rows as well', async () => {
    await open();
    const twice = [...small, '--max-attempts', '2'];
    const fine = prompts(8);
    expect((await rig.run(['run', await rig.manifest(fine), ...twice])).code).toBe(0);
    const file = await rig.manifest([...fine, ...prompts(12, '[sim:502*]')]);
    const { stdout } = await rig.run(['check', file, ...twice]);
    expect(stdout).toContain('Credits: at least 12, at most 24\n');
    expect((await rig.run(['run', file, ...twice])).code).toBe(5);
    expect((await rig.summary()).credits).toEqual({ charged: 0, unknown: 24 });
  });

  it('the cap is never exceeded, and the next run goes on', async () => {
    await open();
    const file = await rig.manifest([
      'doubtful [sim:502]',
      'useless [sim:empty]',
      'reset [sim:reset]',
      ...prompts(9),
    ]);
    expect((await rig.run(['run', file, ...small, '--max-credits', '5'])).code).toBe(8);
    const first = await rig.summary();
    expect(first.credits.charged + first.credits.unknown).toBe(5);
    expect(charged()).toBeLessThanOrEqual(5);
    expect(first.rows['not_attempted']).toBeGreaterThanOrEqual(7);
    expect((await rig.run(['run', file, ...small])).code).toBe(0);
    const rows = await rig.results();
    expect(rows.every(({ status }) => status === 'succeeded' || status === 'skipped')).toBe(true);
    const paid = rows.reduce((sum, row) => sum + row.credits, 0);
    const unknown = rows.reduce((sum, row) => sum + row.credits_unknown, 0);
    expect(charged()).toBeGreaterThanOrEqual(paid);
    expect(charged()).toBeLessThanOrEqual(paid + unknown);
    expect(paid).toBe(13);
  });

  it('an account spends no more than its cap of the day, over all runs and outputs', async () => {
    await open();
    await writeFile(join(rig.dir, 'reshoot.yaml'), 'maxCreditsPerDay: 5\ntimeZone: Asia/Tokyo\n');
    const file = await rig.manifest(['doubtful [sim:502]', ...prompts(7)]);
    expect(await rig.run(['run', file, ...small, '--limit', '2'])).toMatchObject({ code: 0 });
    const { code, stdout } = await rig.run(['run', file, '-o', 'other', '--size', '64x64']);
    expect({ code, stdout }).toMatchObject({
      code: 8,
      stdout: expect.stringMatching(
        /used its 5 credits of this day.*The same command goes on from 20.*T15:00:00.000Z/,
      ),
    });
    expect(rig.simulator.calls).toHaveLength(5);
    expect(await rig.run(['run', file, '-o', 'other', '--size', '64x64'])).toMatchObject({ code: 8 });
    expect(rig.simulator.calls).toHaveLength(5);
    await writeFile(join(rig.dir, 'reshoot.yaml'), 'maxCreditsPerDay: 5\ntimeZone: Europe/Nowhere\n');
    expect(await rig.run(['run', file, ...small])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('reshoot.yaml:2:11: timeZone: Europe/Nowhere: write a time zone'),
    });
  });

  it('a row whose charge is unknown is held until somebody says otherwise', async () => {
    await open();
    const file = await rig.manifest(['fine', 'doubtful [sim:502]']);
    expect((await rig.run(['run', file, ...small, '--on-unknown', 'hold'])).code).toBe(12);
    expect(await rig.results()).toMatchObject([
      { status: 'succeeded' },
      { status: 'held', charged: 'unknown' },
    ]);
    const plain = await rig.run(['run', file, ...small]);
    expect(plain.code).toBe(12);
    expect(plain.stdout).toContain('reshoot retry out --status held\n');
    expect(await rig.results()).toMatchObject([{ status: 'skipped' }, { status: 'held' }]);
    expect(rig.simulator.calls).toHaveLength(2);
    const doubtful = async (): Promise<object[]> => {
      const { run } = await rig.summary();
      const { stdout } = await rig.run(['status', run, '--rows', 'unknown', '--json']);
      return JSON.parse(stdout) as object[];
    };
    expect(await doubtful()).toMatchObject([{ id: 'r2', status: 'held', credits_unknown: 1 }]);
    expect(await rig.summary()).toMatchObject({ perhaps_twice: 0 });
    const paid = await rig.run(['retry', 'out', '--status', 'held']);
    expect(paid).toMatchObject({ code: 0, stdout: expect.stringContaining('Perhaps paid twice: 1 row') });
    const [, row] = await rig.results();
    expect(row).toMatchObject({ status: 'succeeded', credits: 1, credits_unknown: 1, charged: 'unknown' });
    expect(rig.simulator.calls).toHaveLength(3);
    expect(await rig.summary()).toMatchObject({ perhaps_twice: 1, credits: { charged: 1, unknown: 0 } });
    expect(await doubtful()).toMatchObject([{ id: 'r2', status: 'succeeded' }]);
  });
});

describe('stop rules', () => {
  it('--halt stops a run that mostly fails', async () => {
    await open({ limit: 10 });
    const file = await rig.manifest(prompts(40, '[sim:400*]'));
    const { code, stdout } = await rig.run(['run', file, ...small, '--halt', 'fail=50%']);
    expect(code).toBe(13);
    expect(stdout).toContain('--halt');
    const { rows } = await rig.summary();
    expect(rows['failed']).toBeGreaterThanOrEqual(20);
    expect(rows['not_attempted']).toBeGreaterThan(0);
    expect(rows['failed']! + rows['not_attempted']!).toBe(40);
  });

  it('thirty rows in a row with the same error stop it, and it says with which', async () => {
    await open({ limit: 60 });
    const file = await rig.manifest(['fine', ...prompts(80, '[sim:400*]')]);
    const { code, stdout } = await rig.run(['run', file, ...small, '--concurrency', '10']);
    expect(code).toBe(13);
    expect(stdout).toMatch(
      /1 credit charged[^]*30 rows in a row .*the API calls the request wrong[^]*To go on:/,
    );
    const { rows } = await rig.summary();
    expect(rows['failed']).toBeGreaterThanOrEqual(30);
    expect(rows['failed']).toBeLessThanOrEqual(70);
    expect(rows['failed']! + rows['not_attempted']!).toBe(80);
  });

  it('five useless answers in a row stop it, and what was paid for is kept', async () => {
    await open();
    const file = await rig.manifest(prompts(8, '[sim:not-image*]'));
    expect((await rig.run(['run', file, ...small])).code).toBe(13);
    const useless = rig.simulator.calls.length;
    expect(useless).toBeGreaterThanOrEqual(5);
    expect(useless).toBeLessThanOrEqual(8);
    expect(await readdir(join(rig.out, '.reshoot', 'rejected'))).toHaveLength(useless);
    expect((await rig.summary()).credits).toEqual({ charged: useless, unknown: 0 });
  });
});
