import { stripVTControlCharacters } from 'node:util';
import { Writable } from 'node:stream';
import * as fc from 'fast-check';
import stringWidth from 'string-width';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { RunView } from '../../src/batch/view.ts';
import { showProgress } from '../../src/commands/display.ts';
import { renderView, type Screen } from '../../src/commands/display/frame.ts';
import { plainLine } from '../../src/commands/display/plain.ts';

const now = new Date(2026, 10, 3, 4, 38);
const screen: Screen = { columns: 80, rows: 24, color: false, now, awake: true };
const view: RunView = {
  run: 'r1',
  manifest: 'shop.csv',
  output: 'out',
  state: 'running',
  rows: 40,
  leftOut: 0,
  settled: { succeeded: 10, skipped: 0, failed: 2, held: 0, other: 0 },
  inFlight: 6,
  credits: { charged: 14, unknown: 0, cap: undefined },
  accounts: [{ name: 'default', used: 30, limit: 30 }],
  windowMs: 60_000,
  errors: [],
  leftMs: 62 * 60_000,
  workers: 1,
};

const lineOf = (label: string, of: Partial<RunView>, on: Partial<Screen> = {}): string | undefined =>
  renderView({ ...view, ...of }, { ...screen, ...on })
    .split('\n')
    .find((line) => line.startsWith(label));

describe('renderView', () => {
  it('shows a run in a few lines', () => {
    expect(renderView(view, screen).split('\n')).toEqual([
      '[############xx..................................]  30 %   12 of 40 rows',
      'time     done about 05:40 (in 1 h 2 min)',
      'rows     # 10 succeeded   x 2 failed',
      'calls    6 in flight   30 of 30 in the last 60 s',
      'credits  14 charged',
    ]);
  });

  it('says the day when the end is not today', () => {
    const hour = 60 * 60_000;
    expect(lineOf('time', { leftMs: 20 * hour })).toBe('time     done about tomorrow 00:38 (in 20 h 0 min)');
    expect(lineOf('time', { leftMs: 48 * hour })).toBe(
      'time     done about 2026-11-05 04:38 (in 48 h 0 min)',
    );
  });

  it('counts the last minute in steps, and never below nothing', () => {
    expect(lineOf('time', { leftMs: 41_000 })).toContain('(in 45 s)');
    expect(lineOf('time', { leftMs: 0 })).toBe('time     done any moment');
  });

  it('says why it knows no end', () => {
    const unknown = { leftMs: undefined };
    const parked = [{ name: 'default', used: 0, limit: 30, parked: 'no_credit' }];
    expect(lineOf('time', unknown)).toBe('time     can be said after the first answers');
    expect(lineOf('time', { ...unknown, workers: 0 })).toBe(
      'time     nobody works on it: start reshoot worker',
    );
    expect(lineOf('time', { ...unknown, accounts: parked })).toBe('time     no account may work');
    expect(lineOf('time', { ...unknown, state: 'paused' })).toBe(
      'time     paused; reshoot resume r1 goes on',
    );
  });

  it('says what a stopped run still waits for', () => {
    expect(lineOf('time', { state: 'stopping', leftMs: 9000 })).toBe(
      'time     stopping: no further call, 6 in flight to be finished   about 10 s',
    );
  });

  it('asks a person to keep the computer awake where nothing else does', () => {
    expect(lineOf('time', {}, { awake: false })).toMatch(/ {3}keep the computer awake until then$/);
  });

  it('says what is charged, what perhaps, and the cap', () => {
    const credits = { charged: 14, unknown: 3, cap: 100 };
    expect(lineOf('credits', { credits })).toBe('credits  14 charged   3 perhaps   of at most 100');
  });

  it('shows each of a few accounts, and of many the sum and what is wrong', () => {
    const accounts = [
      { name: 'main', used: 28, limit: 30, pausedMs: 9000 },
      { name: 'second-shop', used: 0, limit: 30, parked: 'no_credit' },
    ];
    expect(
      renderView({ ...view, accounts, workers: 3 }, screen)
        .split('\n')
        .slice(3),
    ).toEqual([
      'calls    6 in flight   3 workers',
      'credits  14 charged',
      'limits   main          28 of 30 in the last 60 s, paused for 10 s',
      '         second-shop   parked: no_credit',
    ]);
    expect(lineOf('limits', { accounts: [...accounts, ...accounts] })).toBe(
      'limits   4 accounts: 56 of 120 in the last 60 s   2 paused   2 parked',
    );
  });

  it('groups errors, aligns them by what a terminal shows, and lets nothing raw through', () => {
    const errors = [
      { code: 'timeout', times: 12, lastId: '白色运动鞋' },
      { code: 'reset', times: 3, lastId: '\u001B[2J\u202E\r\n' },
      { code: 'cut_body', times: 2, lastId: 'a' },
      { code: 'bug', times: 1, lastId: 'b' },
    ] satisfies RunView['errors'];
    expect(
      renderView({ ...view, errors }, screen)
        .split('\n')
        .slice(5),
    ).toEqual([
      'errors   12 timeout    last row 白色运动鞋',
      '          3 reset      last row \\u001b[2J\\u202e\\u000d\\u000a',
      '          2 cut_body   last row a',
      '         and 1 more kind',
    ]);
  });

  it('fits every screen, whatever stands in a row, and says the same with colours', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 120 });
    const anyView = fc.record({
      ids: fc.array(text, { maxLength: 6 }),
      settled: fc.record({
        succeeded: fc.nat(900),
        skipped: fc.nat(900),
        failed: fc.nat(900),
        held: fc.nat(900),
        other: fc.nat(900),
      }),
      rows: fc.nat(2000),
      accounts: fc.array(
        fc.record({ name: fc.constantFrom('a', 'second-shop'), used: fc.nat(30), limit: fc.constant(30) }),
        {
          maxLength: 5,
        },
      ),
    });
    const size = fc.record({
      columns: fc.integer({ min: 1, max: 200 }),
      rows: fc.integer({ min: 1, max: 30 }),
    });
    fc.assert(
      fc.property(anyView, size, ({ ids, ...of }, { columns, rows }) => {
        const errors = ids.map((lastId) => ({ code: 'timeout' as const, times: 1, lastId }));
        const show = (color: boolean): string =>
          renderView({ ...view, ...of, errors }, { ...screen, columns, rows, color });
        const lines = show(false) === '' ? [] : show(false).split('\n');
        expect(lines.length).toBeLessThan(rows);
        for (const line of lines) expect(stringWidth(line)).toBeLessThanOrEqual(Math.max(1, columns - 1));
        expect(stripVTControlCharacters(show(true))).toBe(show(false));
      }),
    );
  });

  it('fills the bar by outcome, and never over its end', () => {
    const settled = { succeeded: 10, skipped: 10, failed: 10, held: 5, other: 5 };
    expect(renderView({ ...view, settled }, screen)).toMatch(
      /^\[#{12}\+{12}x{12}\?{6}-{6}\] 100 % {3}40 of 40 rows\n/,
    );
    expect(renderView({ ...view, settled, rows: 20 }, screen)).toMatch(/^\[#{24}\+{24}\] /);
  });
});

describe('plainLine', () => {
  it('says a run in one line', () => {
    expect(plainLine(view, now)).toBe(
      '12 of 40 rows: 10 succeeded, 2 failed; 6 in flight, 30 of 30 calls in the last 60 s, 14 credits; ' +
        'done about 05:40 (in 1 h 2 min)',
    );
  });

  it('adds what is out of the ordinary', () => {
    const odd: RunView = {
      ...view,
      state: 'stopping',
      settled: { ...view.settled, held: 1 },
      credits: { charged: 1, unknown: 2, cap: 10 },
      accounts: [...view.accounts, { name: 'b', used: 0, limit: 30, parked: 'no_credit' }],
      errors: [{ code: 'timeout', times: 2, lastId: 'a' }],
    };
    expect(plainLine(odd, now)).toBe(
      '13 of 40 rows: 10 succeeded, 2 failed, 1 held; 6 in flight, 30 of 60 calls in the last 60 s, ' +
        'account b parked (no_credit), 1 credit and 2 perhaps; errors: 2 timeout; stopping',
    );
  });
});

describe('showProgress', () => {
  afterEach(() => void vi.useRealTimers());

  const silent = { out: () => undefined, stop: new AbortController().signal, ask: undefined };

  it('without a terminal says a line every half minute until it is closed, and nothing when quiet', () => {
    vi.useFakeTimers();
    const told: string[] = [];
    const io = { ...silent, err: (text: string) => void told.push(text) };
    const loud = showProgress(io, {});
    const quiet = showProgress(io, { quiet: true });
    for (let second = 1; second <= 95; second++) {
      vi.advanceTimersByTime(1000);
      loud.update(view);
      quiet.update(view);
    }
    expect(told).toHaveLength(3);
    expect(told[0]).toMatch(/^12 of 40 rows: .*\n$/);
    loud.close();
    vi.advanceTimersByTime(60_000);
    loud.update(view);
    expect(told).toHaveLength(3);
  });

  it('on a terminal draws at most four times a second, and gives the terminal back when it is closed', () => {
    vi.useFakeTimers();
    const { terminal, written, lent } = pretendTerminal();
    const progress = showProgress({ ...silent, err: () => undefined, terminal }, {});
    expect(lent.at(-1)).toBeTypeOf('function');
    for (let i = 0; i < 100; i++) {
      progress.update({ ...view, inFlight: i });
      vi.advanceTimersByTime(10);
    }
    const drawn = written.filter((text) => text.includes('in flight')).length;
    expect(drawn).toBeGreaterThanOrEqual(4);
    expect(drawn).toBeLessThanOrEqual(5);
    progress.close();
    progress.close();
    const soFar = written.length;
    progress.update(view);
    vi.advanceTimersByTime(1000);
    expect(written).toHaveLength(soFar);
    expect(lent.at(-1)).toBeUndefined();
  });
});

/** Takes what a terminal would; how that looks is the business of test/edge/display.test.ts. */
function pretendTerminal() {
  const written: string[] = [];
  const lent: unknown[] = [];
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      written.push(chunk.toString());
      done();
    },
  });
  Object.assign(stream, { columns: 80, rows: 24, isTTY: true, hasColors: () => false });
  return {
    written,
    lent,
    terminal: {
      stream: stream as unknown as NodeJS.WriteStream,
      lend: (write: ((text: string) => void) | undefined) => void lent.push(write),
    },
  };
}
