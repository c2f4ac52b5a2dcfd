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
    expect(tally.summary()).toMatchObject({ rows: { succeeded: 1, not_attempted: 1 }, exit_code: 0 });
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

  it('says what happened and nothing to do when all is done', () => {
    expect(summaryText(summary, 'out/')).toBe(
      [
        'Run r7: 7 rows: 7 succeeded, in 1 h 0 min',
        '8 calls, 7 credits charged, 1 more perhaps',
        'A call took 12.3 s (median), 30.0 s (95 %), 31.0 s (longest)',
        'Report: out/report/index.html',
        '',
      ].join('\n'),
    );
  });

  it('ends with the commands that go on', () => {
    const rows = { ...noRows, succeeded: 7, failed: 2, held: 1, not_attempted: 3, invalid: 1 };
    const text = summaryText({ ...summary, rows, by_error: { timeout: 2 }, exit_code: 8 }, 'out');
    expect(text.split('\n').slice(3)).toEqual([
      'Errors:',
      '  2 timeout: no whole answer within --timeout',
      'Report: out/report/index.html',
      'Stopped: the credit cap or the retry budget is used up. Raise it, then go on.',
      'To go on: the same command again, or reshoot run out/report/failed.csv -o out',
      'To pay for the held rows perhaps twice: reshoot run out/report/failed.csv -o out --on-unknown retry',
      '',
    ]);
  });

  it('fits a screen, the most frequent errors first, however many went wrong', () => {
    const rows = { ...noRows, succeeded: 1, skipped: 2, failed: 30, held: 2, cancelled: 1, invalid: 4 };
    const all = Object.keys(codes).map((code, i) => [code, i + 1] as const);
    const text = summaryText({ ...summary, rows, by_error: Object.fromEntries(all), exit_code: 143 }, 'out');
    const lines = text.split('\n');
    expect(lines[4]).toMatch(new RegExp(`^  ${all.length} ${all.at(-1)?.[0]}: `));
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
