import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addUp } from '../../src/records/books.ts';
import { callId, keyOf, type Call } from '../../src/records/call.ts';
import { readHead, toLine } from '../../src/records/index-file.ts';
import type { Run } from '../../src/records/runs.ts';
import { judge } from '../../src/records/state.ts';
import type { Stories } from '../../src/records/stories.ts';
import { callOf, endings, type Ending } from '../fixtures/call.ts';

const run: Run = {
  v: 1,
  run: 'r1',
  manifest: 'goods.csv',
  origin: 'https://api.example',
  started_at: '2026-11-01T10:00:00.000Z',
  plan: 'p',
  rows: 2,
  columns: [],
  max_attempts: 4,
  max_credits: 7,
  retry_budget: 10,
  timeout_ms: 300_000,
  force: false,
};

/** Stories that stand in the index: only those are read whose lines' heads are wanted. */
function streamed(stories: Call[][]): Pick<Stories, 'all'> {
  return {
    async *all(wanted = () => true) {
      for (const calls of stories) {
        const head = readHead(Buffer.from(toLine(keyOf(calls[0]?.id ?? ''), 1, calls)));
        if (head && wanted(head)) yield { id: calls[0]?.id ?? '', calls };
      }
    },
  };
}

const booksOf = (stories: Call[][], since = 0, lives = true, daySince = Infinity) =>
  addUp(run, 'running', streamed(stories), since, daySince, () => lives);

describe('addUp', () => {
  it('has the caps as the run was given them, and nothing spent at first', async () => {
    const empty = {
      state: 'running',
      cap: 7,
      budget: 10,
      charged: 0,
      unknown: 0,
      extra: 0,
      open: [],
      recent: [],
      today: [],
    };
    expect(await booksOf([])).toEqual(empty);
    const { max_credits: _, ...uncapped } = run;
    expect((await addUp(uncapped, 'paused', streamed([]), 0, Infinity, () => true)).cap).toBeUndefined();
  });

  it("counts this run's credits, and what may have been paid twice as extra", async () => {
    const calls = [
      callOf({ closed: endings.server_error }),
      callOf({ n: 2, closed: endings.timeout }),
      callOf({ n: 3, closed: endings.rate_limited }),
      callOf({ n: 4, closed: endings.cut_picture }),
      callOf({ n: 5, closed: endings.picture }),
    ];
    const other = [callOf({ id: 'lamp', closed: endings.picture })];
    expect(await booksOf([calls, other])).toMatchObject({ charged: 3, unknown: 1, extra: 2, open: [] });
  });

  it('lets a call that is open hold a credit, extra where an earlier one may have been paid', async () => {
    const chair = [callOf({ closed: endings.timeout }), callOf({ n: 2, account: 'second' })];
    const lamp = callOf({ id: 'lamp' });
    expect((await booksOf([chair, [lamp]])).open).toEqual([
      { call: callId(chair[1]!), account: 'second', extra: true },
      { call: callId(lamp), account: 'default', extra: false },
    ]);
  });

  it('counts the open call of a dead process as unknown: nobody gives its credit back', async () => {
    const chair = [callOf(), callOf({ n: 2, closed: endings.picture })];
    expect(await booksOf([chair], 0, false)).toMatchObject({ charged: 1, unknown: 1, extra: 1, open: [] });
  });

  it("counts no other run's credits, but every run's latest calls towards the limit", async () => {
    const at = (second: number): string => new Date(second * 1000).toISOString();
    const calls = [
      callOf({ run: 'r0', started_at: at(9), closed: endings.picture }),
      callOf({ n: 2, run: 'r0', started_at: at(10), closed: endings.rate_limited }),
      callOf({ n: 3, started_at: at(11), closed: endings.not_sent }),
      callOf({ n: 4, started_at: at(12) }),
    ];
    const books = await booksOf([calls], 10_000);
    expect(books).toMatchObject({ charged: 0, unknown: 0 });
    expect(books.recent).toEqual([
      { run: calls[1]!.run, call: callId(calls[1]!), account: 'default', at: 10_000 },
      { run: calls[3]!.run, call: callId(calls[3]!), account: 'default', at: 12_000 },
    ]);
    // Of a day's credits only those that may have been paid.
    const { today } = await booksOf([calls], Infinity, true, 9000);
    expect(today.map(({ run, at }) => [run, at])).toEqual([
      ['r0', 9000],
      ['r1', 12_000],
    ]);
    expect((await booksOf([calls], Infinity, true, 9001)).today).toHaveLength(1);
  });

  it('agrees with what each call was sent as, whatever happened', async () => {
    const ends = fc.array(fc.constantFrom(...(Object.keys(endings) as Ending[])), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fc.array(ends, { maxLength: 4 }), async (rows) => {
        let extra = 0;
        const stories = rows.map((ends, row) => {
          const calls: Call[] = [];
          for (const end of ends) {
            const rules = { run: 'r1', maxAttempts: 99, force: false };
            const verdict = judge(1, calls, 'f1', rules);
            if (verdict.is !== 'due') break;
            const { n, route } = verdict.due;
            const call = callOf({ id: `row ${row}`, n, route, closed: endings[end] });
            if (verdict.due.extra && call.closed?.charged !== 'no') extra += 1;
            calls.push(call);
          }
          return calls;
        });
        const books = await booksOf(stories);
        const charges = stories.flat().map(({ closed }) => closed?.charged);
        expect(books).toMatchObject({
          charged: charges.filter((charge) => charge === 'yes').length,
          unknown: charges.filter((charge) => charge === 'unknown').length,
          extra,
        });
      }),
    );
  });
});
