import { parse } from 'csv-parse/sync';
import { describe, expect, it } from 'vitest';
import { unquoteFormula } from '../../src/cells.ts';
import type { ExitCode } from '../../src/errors.ts';
import type { ReportCall, ReportRow } from '../../src/report/rows.ts';
import type { Summary } from '../../src/report/summary.ts';
import { writeReport } from '../../src/report/write.ts';

const call = (over: Partial<ReportCall> = {}): ReportCall => ({
  n: 1,
  run: 'r2',
  at: '2026-11-01T10:00:00.000Z',
  ms: 20_000,
  route: 1,
  account: 'default',
  httpStatus: 200,
  outcome: 'succeeded',
  charged: 'yes',
  attempt: true,
  ...over,
});

const row = (
  number: number,
  over: Partial<ReportRow> = {},
  own: Partial<ReportRow['row']> = {},
): ReportRow => ({
  status: 'succeeded',
  calls: [],
  ...over,
  row: {
    row: number,
    line: number + 1,
    id: `id-${number}`,
    pictures: [{ kind: 'file', path: `/photos/${number}.jpg`, bytes: 9, mtimeMs: 1, ino: 1 }],
    prompt: 'on white',
    size: '2K',
    ratio: '1:1',
    route: 1,
    output: `id-${number}.{ext}`,
    columns: {},
    selected: true,
    ...own,
  },
});

const facts = { mime: 'image/jpeg', width: 1024, height: 768, bytes: 12_345, sha256: 'ab12' };
const server = { outcome: 'failed', charged: 'no', httpStatus: 500, errorCode: 'server_error' } as const;
const lost = { outcome: 'unknown', charged: 'unknown', errorCode: 'timeout' } as const;

const rows: ReportRow[] = [
  row(
    1,
    {
      output: 'id-1.jpg',
      facts,
      calls: [
        call(server),
        call({ n: 2, at: '2026-11-01T10:00:30.000Z', ms: 41_500, route: 2 }),
        call({ n: 3, outcome: 'throttled', charged: 'no', httpStatus: 429, attempt: false }),
      ],
    },
    { columns: { col_status: 'draft', note: '=1+1', '2024': 'x', constructor: 'Lego' } },
  ),
  row(2, {
    status: 'skipped',
    output: 'id-2.jpg',
    facts,
    calls: [call({ run: 'r1', at: '2026-10-01T00:00:00.000Z' })],
  }),
  row(
    3,
    {
      status: 'failed',
      errorCode: 'server_error',
      errorMessage: '@home says: "no", \r\nand again',
      retryable: true,
      calls: [call({ ...server, at: '2026-11-01T10:02:00.000Z' })],
    },
    {
      id: '=cmd|calc',
      prompt: "'+ a bow,\nred",
      pictures: [
        { kind: 'url', url: 'https://shop.example/a.jpg' },
        { kind: 'url', url: 'https://shop.example/b.jpg' },
      ],
      columns: { '+price': '-12.50', note: '-bold-' },
    },
  ),
  row(4, { status: 'held', errorCode: 'timeout', calls: [call(lost), call({ n: 2, ...lost, run: 'r1' })] }),
  row(5, { status: 'invalid' }, { invalid: 'ratio 5:4 is unknown' }),
];

const summaryOfR1: Summary = {
  run: 'r1',
  manifest: 'old.csv',
  started_at: '2026-10-01T00:00:00.000Z',
  finished_at: '2026-10-01T01:00:00.000Z',
  rows: { succeeded: 2, skipped: 0, failed: 0, held: 0, cancelled: 0, not_attempted: 0, invalid: 0 },
  calls: 2,
  credits: { charged: 2, unknown: 0 },
  by_route: { '1': { calls: 2, succeeded: 2 } },
  by_error: {},
  latency_ms: { p50: 1, p95: 1, max: 1 },
  exit_code: 0,
};

async function written(
  given: ReportRow[] = rows,
  columns: string[] = ['col_status', '2024', 'note', 'constructor', '+price'],
  stop?: { code: ExitCode; reason: string },
  ofRowsGone: ReportCall[] = [],
): Promise<{ files: Record<string, string>; summary: Summary }> {
  const files: Record<string, string> = {};
  const summary = await writeReport(
    {
      run: {
        run: 'r2',
        manifest: 'm.csv',
        startedAt: '2026-11-01T10:00:00.000Z',
        finishedAt: '2026-11-01T11:00:00.000Z',
        columns,
        ...(stop && { stop }),
      },
      rows: () => streamed(given),
      pageRows: async (wanted) => streamed(given.filter(({ row }) => wanted(row.row))),
      otherCalls: () => streamed(ofRowsGone.map((call) => ({ ...call, id: 'gone' }))),
      runs: [{ ...summaryOfR1, run: 'r2' }, summaryOfR1],
    },
    async (name, content) => {
      files[name] = '';
      for await (const piece of typeof content === 'string' ? [content] : content) files[name] += piece;
    },
  );
  return { files, summary };
}

async function* streamed<T>(items: T[]): AsyncGenerator<T> {
  yield* items;
}

const table = (csv: string | undefined): Record<string, string>[] =>
  parse<Record<string, string>>(csv ?? '', { bom: true, columns: true });

describe('writeReport', () => {
  it('writes every file, the summary last', async () => {
    const { files } = await written();
    const others = ['results.jsonl', 'results.csv', 'failed.csv', 'calls.csv', 'runs.csv', 'index.html'];
    expect(Object.keys(files)).toEqual([...others, 'summary.json']);
  });

  it("has the contract's fields in the contract's order, then the user's", async () => {
    const { files } = await written();
    const header =
      'id,row,status,output,error_code,error_message,http_status,attempts,route,account,charged,credits,' +
      'credits_unknown,mime,width,height,bytes,sha256,api_ms,started_at,finished_at';
    const [first, second] = files['results.csv']!.split('\n');
    expect(first).toBe(`\uFEFF${header},col_status,2024,note,constructor,'+price`);
    expect(second).toBe(
      'id-1,1,succeeded,id-1.jpg,,,200,2,2,default,yes,1,0,image/jpeg,1024,768,12345,ab12,41500,' +
        "2026-11-01T10:00:30.000Z,2026-11-01T10:01:11.500Z,draft,x,'=1+1,Lego,",
    );
  });

  it('tells every call in the JSON lines', async () => {
    const { files } = await written();
    const lines = files['results.jsonl']!.trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as object);
    expect(lines).toHaveLength(rows.length);
    expect(lines[0]).toMatchObject({
      error_code: null,
      charged: 'yes',
      note: '=1+1',
      calls: [
        {
          n: 1,
          route: 1,
          account: 'default',
          started_at: '2026-11-01T10:00:00.000Z',
          ms: 20_000,
          http_status: 500,
          outcome: 'failed',
          charged: 'no',
          error_code: 'server_error',
        },
        { n: 2, outcome: 'succeeded' },
        { n: 3, outcome: 'throttled' },
      ],
    });
    expect(lines[3]).toMatchObject({ attempts: 2, charged: 'unknown', credits: 0, credits_unknown: 2 });
    expect(lines[4]).toMatchObject({
      status: 'invalid',
      charged: 'no',
      route: null,
      started_at: null,
      calls: [],
    });
  });

  it('leaves no cell that a spreadsheet would run or that breaks its line', async () => {
    const { files } = await written();
    for (const name of ['results.csv', 'failed.csv', 'calls.csv']) {
      const cells = parse(files[name]!, { bom: true }).flat();
      const numbers = /^[+-]?\d+([.,]\d+)*$/;
      expect(cells.filter((cell) => /^[=+\-@]/.test(cell) && !numbers.test(cell))).toEqual([]);
    }
    expect(table(files['results.csv'])[2]!['error_message']).toBe('\'@home says: "no", \r\nand again');
  });

  it('makes a manifest of the rows that did not succeed', async () => {
    const { files } = await written();
    const failed = table(files['failed.csv']).map((record) =>
      Object.fromEntries(
        Object.entries(record).map((cells) => cells.map(unquoteFormula) as [string, string]),
      ),
    );
    expect(failed.map(({ id }) => id)).toEqual(['=cmd|calc', 'id-4', 'id-5']);
    expect(failed[0]).toEqual({
      id: '=cmd|calc',
      image: 'https://shop.example/a.jpg|https://shop.example/b.jpg',
      prompt: "'+ a bow,\nred",
      size: '2K',
      ratio: '1:1',
      route: '1',
      output: 'id-3.{ext}',
      '2024': '',
      col_status: '',
      note: '-bold-',
      constructor: '',
      '+price': '-12.50',
      error_code: 'server_error',
      error_message: '@home says: "no", \r\nand again',
    });
    expect(failed[2]).toMatchObject({ image: '/photos/5.jpg', error_message: 'ratio 5:4 is unknown' });
  });

  it('lets no column of the user stand in for one of the manifest', async () => {
    const { files } = await written(
      [row(1, { status: 'cancelled' }, { columns: { Image: 'thumb.gif' } })],
      ['Image'],
    );
    expect(table(files['failed.csv'])[0]).toMatchObject({ image: '/photos/1.jpg', col_Image: 'thumb.gif' });
  });

  it('books all calls by time and all runs by start, each once', async () => {
    const { files } = await written();
    const calls = table(files['calls.csv']);
    expect(Object.keys(calls[0]!)).toEqual([
      'time',
      'run',
      'id',
      'n',
      'account',
      'route',
      'http_status',
      'outcome',
      'charged',
    ]);
    expect(calls.map(({ time }) => time)).toEqual([
      '2026-10-01T00:00:00.000Z',
      ...Array.from({ length: 4 }, () => '2026-11-01T10:00:00.000Z'),
      '2026-11-01T10:00:30.000Z',
      '2026-11-01T10:02:00.000Z',
    ]);
    expect(table(files['runs.csv'])).toMatchObject([
      { run: 'r1', rows: '2', succeeded: '2', exit_code: '0' },
      {
        run: 'r2',
        rows: '5',
        held: '1',
        calls: '5',
        credits_charged: '1',
        credits_unknown: '1',
        exit_code: '12',
      },
    ]);
  });

  it("sums up all rows, but only this run's calls", async () => {
    const { files, summary } = await written();
    expect(JSON.parse(files['summary.json']!)).toEqual(summary);
    expect(summary).toEqual({
      run: 'r2',
      manifest: 'm.csv',
      started_at: '2026-11-01T10:00:00.000Z',
      finished_at: '2026-11-01T11:00:00.000Z',
      rows: { succeeded: 1, skipped: 1, failed: 1, held: 1, cancelled: 0, not_attempted: 0, invalid: 1 },
      chosen: { succeeded: 1, skipped: 1, failed: 1, held: 1, cancelled: 0, not_attempted: 0, invalid: 1 },
      calls: 5,
      credits: { charged: 1, unknown: 1 },
      credits_all_runs: { charged: 2, unknown: 2 },
      perhaps_twice: 1,
      by_route: { '1': { calls: 4, succeeded: 0 }, '2': { calls: 1, succeeded: 1 } },
      by_error: { server_error: 1, timeout: 1 },
      latency_ms: { p50: 41_500, p95: 41_500, max: 41_500 },
      exit_code: 12,
    });
  });

  it('keeps why the run stopped', async () => {
    const { summary } = await written([row(1, { status: 'not_attempted' })], [], {
      code: 8,
      reason: 'the cap of 3 credits is reached',
    });
    expect(summary).toMatchObject({ exit_code: 8, stop_reason: 'the cap of 3 credits is reached' });
  });

  it('books the calls of rows that have left the manifest, and none that was not sent', async () => {
    const gone = [
      call({ run: 'r1' }),
      call({ run: 'r0', ...lost }),
      call({ run: 'r1', outcome: 'not_sent' }),
    ];
    const { summary } = await written([row(1)], [], undefined, gone);
    expect(summary).toMatchObject({
      credits: { charged: 0, unknown: 0 },
      credits_all_runs: { charged: 1, unknown: 1 },
    });
  });

  it('says of a row that was only refused what refused it', async () => {
    const parked = { outcome: 'throttled', charged: 'no', httpStatus: 429, attempt: false } as const;
    const { files } = await written([row(1, { status: 'not_attempted', calls: [call(parked)] })]);
    expect(table(files['results.csv'])[0]).toMatchObject({
      http_status: '429',
      attempts: '0',
      charged: 'no',
    });
  });

  it('counts no call that was not sent', async () => {
    const unsent = { outcome: 'not_sent', charged: 'no', attempt: false } as const;
    const { summary, files } = await written([row(1, { status: 'failed', calls: [call(unsent)] })]);
    expect(summary).toMatchObject({
      calls: 0,
      latency_ms: { p50: null, p95: null, max: null },
      exit_code: 6,
    });
    expect(table(files['calls.csv'])).toMatchObject([{ outcome: 'not_sent' }]);
  });

  it('streams many rows in order', async () => {
    const many = Array.from({ length: 3000 }, (_, i) => row(i + 1, { status: 'failed' }));
    const { files } = await written(many);
    for (const name of ['results.csv', 'failed.csv']) {
      expect(table(files[name]).map(({ id }) => id)).toEqual(many.map(({ row }) => row.id));
    }
  });
});
