import { describe, expect, it } from 'vitest';
import { codes, type ExitCode } from '../../src/errors.ts';
import { exitCodeOf, type Ending } from '../../src/report/exit.ts';
import { createTally, type Summary } from '../../src/report/summary.ts';
import { summaryText } from '../../src/report/text.ts';

const noRows = { succeeded: 0, skipped: 0, failed: 0, held: 0, cancelled: 0, not_attempted: 0, invalid: 0 };

const ending = (rows: Partial<Ending['rows']>, retryable = 0, stop?: ExitCode): ExitCode =>
  exitCodeOf({ rows: { ...noRows, ...rows }, retryable, ...(stop && { stop: { code: stop } }) });

describe('exitCodeOf', () => {
  it('is 0 when nothing is left to do', () => {
    expect(ending({})).toBe(0);
    expect(ending({ succeeded: 3, skipped: 2, invalid: 1 })).toBe(0);
  });

  it('tells failures that may pass from those that will not', () => {
    expect(ending({ succeeded: 9, failed: 2 }, 1)).toBe(5);
    expect(ending({ succeeded: 9, failed: 2 })).toBe(6);
  });

  it('puts held rows before failed ones and a cancelled run before both', () => {
    expect(ending({ failed: 2, held: 1 }, 2)).toBe(12);
    expect(ending({ failed: 2, held: 1, cancelled: 1 }, 2)).toBe(14);
  });

  it('puts what stopped the run first', () => {
    for (const stop of [130, 143, 7, 8, 13, 14] as const) {
      expect(ending({ failed: 1, held: 1, cancelled: 1, not_attempted: 4 }, 1, stop)).toBe(stop);
    }
  });

  it('is never 0 while rows are left', () => expect(ending({ succeeded: 5, not_attempted: 1 })).toBe(5));
});

describe('createTally', () => {
  const facts = { run: 'r', manifest: 'm', startedAt: '', finishedAt: '', columns: [] };

  it('ends by the rows that the run was to do', () => {
    const tally = createTally(facts);
    const row = {
      row: 1,
      line: 2,
      id: 'a',
      pictures: [],
      prompt: '',
      size: '1K',
      ratio: '1:1',
      route: 1,
    } as const;
    const left = { ...row, pictures: [], output: 'a', columns: {}, selected: false };
    tally.add({ row: left, status: 'not_attempted', calls: [] });
    tally.add({ row: { ...left, selected: true }, status: 'succeeded', calls: [] });
    expect(tally.summary()).toMatchObject({
      rows: { succeeded: 1, not_attempted: 1 },
      chosen: { succeeded: 1, not_attempted: 0 },
      exit_code: 0,
    });
    expect(tally.summary()).not.toHaveProperty('stop_reason');
  });

  it('takes percentiles that calls really had', () => {
    const tally = createTally(facts);
    const route = 1 as const;
    const call = { n: 1, run: 'r', at: '', route, account: 'a', charged: 'yes', attempt: true } as const;
    const calls = Array.from({ length: 100 }, (_, i) => ({
      ...call,
      ms: 100 - i,
      outcome: 'succeeded' as const,
    }));
    const row = { row: 1, line: 2, id: 'a', pictures: [], prompt: '', size: '1K', output: 'a', columns: {} };
    tally.add({ row: { ...row, ratio: '1:1', route, selected: true }, status: 'succeeded', calls });
    expect(tally.summary().latency_ms).toEqual({ p50: 50, p95: 95, max: 100 });
  });
});

describe('summaryText', () => {
  const summary: Summary = {
    run: 'r7',
    manifest: 'my goods.csv',
    started_at: '2026-11-01T10:00:00.000Z',
    finished_at: '2026-11-01T11:00:00.000Z',
    rows: { ...noRows, succeeded: 7 },
    calls: 8,
    credits: { charged: 7, unknown: 1 },
    by_route: { '1': { calls: 8, succeeded: 7 } },
    by_error: {},
    latency_ms: { p50: 12_340, p95: 30_000, max: 31_000 },
    exit_code: 0,
  };
  const lastLines = (changes: Partial<Summary>): string[] =>
    summaryText({ ...summary, ...changes }, 'out')
      .split('\n')
      .slice(4, -1);

  it('says what happened and nothing to do when all is done', () => {
    expect(summaryText(summary, 'out/')).toBe(
      [
        'Run r7: 7 rows: 7 succeeded, in 1 h 0 min',
        'This run: 8 calls, 7 credits charged, 1 more perhaps',
        'A call took 12.3 s (median), 30.0 s (95 %), 31.0 s (longest)',
        'Report: out/report/index.html',
        '',
      ].join('\n'),
    );
  });

  it('says what all runs cost, also after a run that cost nothing', () => {
    const credits_all_runs = { charged: 20, unknown: 24 };
    const text = summaryText(
      { ...summary, calls: 0, credits: { charged: 0, unknown: 0 }, credits_all_runs },
      '',
    );
    expect(text).toContain('This run: 0 calls, 0 credits charged\nAll runs: 20 charged, 24 more perhaps\n');
  });

  describe('after a run of chosen rows', () => {
    const rows = { ...noRows, succeeded: 3, skipped: 1, failed: 5, held: 1, not_attempted: 9, invalid: 1 };
    const chosen = { ...noRows, succeeded: 3, skipped: 1 };
    const failed = 'reshoot run out/report/failed.csv -o out';

    it('never says that all is done, and how to do the rest', () => {
      expect(lastLines({ rows: { ...rows, held: 0, invalid: 0 }, chosen })).toEqual([
        'The 4 rows chosen for this run are done; 14 others of the manifest are not.',
        `To do the rest: ${failed}`,
      ]);
      const last = { rows: { ...noRows, succeeded: 1, failed: 1 }, chosen: { ...noRows, succeeded: 1 } };
      expect(lastLines(last)[0]).toBe(
        'The 1 row chosen for this run is done; 1 other of the manifest is not.',
      );
    });

    it('says which commands do more than was chosen', () => {
      expect(lastLines({ rows, chosen, exit_code: 12 })).toEqual([
        `To do the rest: ${failed}`,
        'To try the held rows again, which may pay for them twice: reshoot retry out --status held',
        `To do what failed (and the other 15 rows): mend its rows, then ${failed}`,
      ]);
      const stop = { exit_code: 130, chosen: { ...chosen, not_attempted: 2 } } as const;
      expect(lastLines({ rows: { ...rows, held: 0, invalid: 0 }, ...stop })).toEqual([
        'Stopped by a signal; the calls in flight were finished and kept.',
        `To go on: the same command again; with the other 12 rows: ${failed}`,
      ]);
    });
  });

  it.each([
    [
      8,
      'the cap of 3 credits is reached',
      'the cap of 3 credits of this run is reached. The same command may spend 3 more.',
    ],
    [
      8,
      'the retry budget of 12 extra calls is used up',
      'the retry budget of 12 extra calls of this run is used up. Look at the errors before you go on.',
    ],
    [
      7,
      'no account may work: no_credit, no_credit',
      'no account may work: the account has no credits left (402): top it up, then run again.',
    ],
    [
      7,
      'no account may work: unauthorized, rate_limited',
      'no account may work: the API does not accept the key (401): check SPIDERHUBS_API_KEY; the API has told the account to wait for 15 minutes (429): try later.',
    ],
    [
      7,
      'no account may work: no_credit, day_spent',
      'no account may work: the account has no credits left (402): top it up, then run again; the others have spent their credits of this day (maxCreditsPerDay).',
    ],
    [
      13,
      '5 of 20 finished rows failed (--halt)',
      '5 of 20 finished rows failed (--halt). Look at the errors before you go on.',
    ],
    [
      13,
      '5 answers in a row were charged and no pictures',
      '5 paid answers in a row held no picture. Look at the errors before you go on.',
    ],
    [
      13,
      '30 rows in a row ended with the same error: input_missing',
      '30 rows in a row ended with the same error: the reference picture is gone: restore it. Look at the errors before you go on.',
    ],
    [
      8,
      'the accounts have spent their 5 credits of this day; the next begins at 2026-11-24T00:00:00.000Z',
      'each account has used its 5 credits of this day (maxCreditsPerDay; calls of unknown charge count). The same command goes on from 2026-11-24T00:00:00.000Z.',
    ],
    [13, 'redirected: to \u001b[2J', 'redirected: to \\u001b[2J. Look at the errors before you go on.'],
  ] as const)('says why it stopped: %i, %s', (exit_code, stop_reason, says) => {
    const lines = lastLines({ exit_code, stop_reason });
    expect(lines[0]).toBe(`Stopped: ${says}`);
    expect(lines[1]).toMatch(/^To go on: /);
  });

  it('keeps to the exit code where that says it all', () => {
    expect(lastLines({ exit_code: 14, stop_reason: 'cancelled by its user' })[0]).toBe(
      'The run was cancelled.',
    );
  });

  it('ends with the commands that go on', () => {
    const rows = { ...noRows, succeeded: 7, failed: 2, held: 1, not_attempted: 3, invalid: 1 };
    const text = summaryText({ ...summary, rows, by_error: { timeout: 2 }, exit_code: 14 }, 'out');
    expect(text.split('\n').slice(3)).toEqual([
      'Errors:',
      '  2 timeout: no whole answer within --timeout',
      'Report: out/report/index.html',
      'The run was cancelled.',
      'To go on: the same command again, or reshoot run out/report/failed.csv -o out',
      'To try the held rows again, which may pay for them twice: reshoot retry out --status held',
      '',
    ]);
  });

  it('fits a screen, the most frequent errors first, however many went wrong', () => {
    const rows = { ...noRows, succeeded: 1, skipped: 2, failed: 30, held: 2, cancelled: 1, invalid: 4 };
    const all = Object.keys(codes).map((code, i) => [code, i + 1] as const);
    const run = 'r20261123T043829198-4f84a9';
    const more = { run, perhaps_twice: 9, credits_all_runs: { charged: 20, unknown: 24 } };
    const chosen = { ...rows, failed: 10 };
    const text = summaryText(
      { ...summary, ...more, chosen, rows, by_error: Object.fromEntries(all), exit_code: 143 },
      'out',
    );
    const lines = text.split('\n');
    expect(lines[6]).toMatch(new RegExp(`^  ${all.length} ${all.at(-1)?.[0]}: `));
    expect(lines).toContain(`  and ${all.length - 6} more in the report`);
    const onScreen = lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / 80)), 0);
    expect(onScreen).toBeLessThanOrEqual(24);
  });

  it('asks for mended rows where trying again is in vain, in words a shell takes', () => {
    const rows = { ...noRows, failed: 2 };
    const text = summaryText({ ...summary, rows, exit_code: 6 }, "it's out");
    const failed = "reshoot run 'it'\\''s out/report/failed.csv' -o 'it'\\''s out'";
    expect(text).toContain(`To do what failed: mend its rows, then ${failed}\n`);
  });
});
