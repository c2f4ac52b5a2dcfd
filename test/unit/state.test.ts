import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { costsAttempt } from '../../src/errors.ts';
import type { Call } from '../../src/records/call.ts';
import { backoffMs, judge, type RowRules } from '../../src/records/state.ts';
import { callOf, endings, type Ending } from '../fixtures/call.ts';

const rules: RowRules = { run: 'r1', maxAttempts: 4, force: false };

/** A row's calls that ended so; `open` has not ended. */
const history = (ends: (Ending | 'open')[], over: Partial<Call> = {}): Call[] =>
  ends.map((end, i) => callOf({ n: i + 1, ...over, ...(end !== 'open' && { closed: endings[end] }) }));

const verdictOf = (ends: (Ending | 'open')[], over: Partial<RowRules> = {}, of: Partial<Call> = {}) =>
  judge(1, history(ends, of), 'f1', { ...rules, ...over });

describe('judge, within a run', () => {
  it('sends a row without calls once, on its route', () => {
    expect(judge(2, [], 'f1', rules)).toEqual({
      is: 'due',
      due: { n: 1, attempt: 1, route: 2, extra: false },
    });
  });

  it.each([
    [1, [1, 2, 1, 2]],
    [2, [2, 1, 2, 1]],
  ] as const)('turns the route with every attempt: from %i', (route, routes) => {
    const calls: Call[] = [];
    const seen = routes.map(() => {
      const verdict = judge(route, calls, 'f1', rules);
      if (verdict.is !== 'due') throw new Error(verdict.is);
      calls.push(callOf({ ...verdict.due, closed: endings.server_error }));
      return verdict.due.route;
    });
    expect(seen).toEqual(routes);
    expect(judge(route, calls, 'f1', rules)).toMatchObject({ is: 'failed', code: 'server_error' });
  });

  it.each(['rate_limited', 'not_sent', 'no_credit'] as const)(
    '%s costs no attempt and turns no route, however often',
    (end) => {
      expect(verdictOf(Array.from({ length: 9 }, () => end))).toEqual({
        is: 'due',
        due: { n: 10, attempt: 1, route: 1, extra: false },
      });
      expect(verdictOf(['server_error', end, end])).toMatchObject({ due: { n: 4, attempt: 2, route: 2 } });
    },
  );

  it('tries a content refusal once on the other route', () => {
    expect(verdictOf(['content_refused'])).toMatchObject({ due: { attempt: 2, route: 2 } });
    const both = [
      callOf({ closed: endings.content_refused }),
      callOf({ n: 2, route: 2, closed: endings.content_refused }),
    ];
    expect(judge(1, both, 'f1', rules)).toEqual({ is: 'failed', call: both[1], code: 'content_refused' });
    const one = [callOf({ closed: endings.server_error }), both[1]!];
    expect(judge(1, one, 'f1', rules)).toMatchObject({ is: 'due', due: { attempt: 3, route: 1 } });
  });

  it('gives up at once what the API calls wrong, and anything after the last attempt', () => {
    expect(verdictOf(['bad_request'])).toMatchObject({ is: 'failed', code: 'bad_request' });
    expect(verdictOf(['server_error', 'timeout'], { maxAttempts: 2 })).toMatchObject({
      is: 'failed',
      code: 'timeout',
    });
    expect(verdictOf(['server_error', 'rate_limited'], { maxAttempts: 1 })).toMatchObject({ is: 'failed' });
    expect(verdictOf(['rate_limited', 'server_error'], { maxAttempts: 2 })).toMatchObject({ is: 'due' });
  });

  it('takes an open call for lost: its charge is unknown', () => {
    expect(verdictOf(['open'])).toEqual({ is: 'due', due: { n: 2, attempt: 2, route: 2, extra: true } });
    expect(verdictOf(['open'], { onUnknown: 'hold' })).toMatchObject({ is: 'held', code: 'worker_lost' });
    expect(verdictOf(['open'], { maxAttempts: 1 })).toMatchObject({ is: 'failed', code: 'worker_lost' });
  });

  it.each([
    ['server_error', false],
    ['rate_limited', false],
    ['timeout', true],
    ['cut_picture', true],
  ] as const)('after %s the next call counts against the retry budget: %s', (end, extra) => {
    expect(verdictOf([end, 'server_error'])).toMatchObject({ due: { extra } });
  });

  it('holds a call of unknown charge where the run says so, or else the call itself', () => {
    expect(verdictOf(['timeout'], { onUnknown: 'hold' })).toMatchObject({ is: 'held', code: 'timeout' });
    expect(verdictOf(['timeout'], {}, { on_unknown: 'hold' })).toMatchObject({ is: 'held' });
    expect(verdictOf(['server_error'], { onUnknown: 'hold' })).toMatchObject({ is: 'due' });
    expect(verdictOf(['timeout'], { onUnknown: 'retry' }, { on_unknown: 'hold' })).toMatchObject({
      is: 'due',
    });
  });

  it('is done by its fingerprint alone', () => {
    expect(verdictOf(['timeout', 'picture'])).toMatchObject({ is: 'done', call: { n: 2 } });
    expect(verdictOf(['picture'], {}, { fingerprint: 'f0' })).toMatchObject({ is: 'due', due: { n: 2 } });
    // Also after the last attempt: what it would be paid for today is learned on the way to a call.
    const last = { ...rules, maxAttempts: 1 };
    expect(judge(1, history(['picture']), undefined, last)).toMatchObject({ is: 'due' });
  });
});

describe('judge, over runs', () => {
  const later = { run: 'r2' };

  it('does what is done no second time, unless forced, and then once', () => {
    expect(verdictOf(['picture'], later)).toMatchObject({ is: 'done', call: { run: 'r1' } });
    const forced = { ...rules, ...later, force: true };
    expect(judge(1, history(['picture']), 'f1', forced)).toMatchObject({ is: 'due', due: { attempt: 1 } });
    const again = [...history(['picture']), callOf({ n: 2, run: 'r2', closed: endings.picture })];
    expect(judge(1, again, 'f1', forced)).toMatchObject({ is: 'done', call: { n: 2 } });
  });

  it('leaves a held row held until it is told to try it again', () => {
    const held = { on_unknown: 'hold' } as const;
    expect(verdictOf(['timeout'], later, held)).toMatchObject({ is: 'held' });
    expect(verdictOf(['timeout'], { ...later, onUnknown: 'retry' }, held)).toEqual({
      is: 'due',
      due: { n: 2, attempt: 1, route: 1, extra: false },
    });
  });

  it('leaves what failed for good until the row changes or force is given', () => {
    expect(verdictOf(['bad_request'], later)).toMatchObject({ is: 'failed', code: 'bad_request' });
    expect(verdictOf(['bad_request'], later, { fingerprint: 'f0' })).toMatchObject({ is: 'due' });
    expect(verdictOf(['bad_request'], { ...later, force: true })).toMatchObject({ is: 'due' });
  });

  it('tries what failed retryably again, with all its attempts', () => {
    expect(verdictOf(['server_error', 'server_error', 'server_error', 'timeout'], later)).toEqual({
      is: 'due',
      due: { n: 5, attempt: 1, route: 1, extra: false },
    });
  });
});

describe('a row that is called until it is decided', () => {
  const ends = fc.array(fc.constantFrom(...(Object.keys(endings) as Ending[]), 'open' as const), {
    minLength: 1,
    maxLength: 12,
  });
  const runs = fc.array(
    fc.record({
      ends,
      maxAttempts: fc.integer({ min: 1, max: 6 }),
      onUnknown: fc.constantFrom('retry' as const, 'hold' as const, undefined),
      force: fc.boolean(),
    }),
    { minLength: 1, maxLength: 3 },
  );

  it('keeps its rules through any number of runs', () => {
    fc.assert(
      fc.property(fc.constantFrom(1 as const, 2 as const), runs, (route, runs) => {
        const calls: Call[] = [];
        for (const [at, { ends, ...options }] of runs.entries()) {
          const own = { ...options, run: `run-${at}` };
          playRun(route, calls, ends, own);
        }
        expect(calls.map(({ n }) => n)).toEqual(calls.map((_, i) => i + 1));
      }),
    );
  });

  function playRun(route: 1 | 2, calls: Call[], ends: (Ending | 'open')[], rules: RowRules): void {
    const before = calls.length;
    for (const end of ends) {
      const verdict = judge(route, calls, 'f1', rules);
      if (verdict.is !== 'due') break;
      const own = calls.slice(before);
      const attempts = own.filter((call) => attemptOf(call)).length;
      // What was paid is never paid again without force, and what may have been paid only as an extra call.
      expect(calls.some(({ closed }) => closed?.picture) && !rules.force).toBe(false);
      expect(own.some(({ closed }) => closed?.picture)).toBe(false);
      expect(verdict.due).toEqual({
        n: calls.length + 1,
        attempt: attempts + 1,
        route: attempts % 2 === 0 ? route : 3 - route,
        extra: own.some(({ closed }) => closed?.charged !== 'no'),
      });
      expect(verdict.due.attempt).toBeLessThanOrEqual(rules.maxAttempts);
      const { run, onUnknown = 'retry' } = rules;
      const { n, route: taken } = verdict.due;
      const call = callOf({ n, run, route: taken, on_unknown: onUnknown });
      calls.push(end === 'open' ? call : { ...call, closed: endings[end] });
    }
  }

  const attemptOf = ({ closed }: Call): boolean =>
    !closed || 'picture' in closed || costsAttempt(closed.error_code ?? 'bug');
});

describe('judge, of any calls whatever', () => {
  const runs = ['r0', 'r1', 'r2'] as const;
  const kinds = fc.record({
    end: fc.constantFrom(...(Object.keys(endings) as Ending[]), 'open' as const),
    run: fc.constantFrom(...runs),
    route: fc.constantFrom(1 as const, 2 as const),
    fingerprint: fc.constantFrom('f1', 'f2'),
    on_unknown: fc.constantFrom('retry' as const, 'hold' as const),
  });
  const stories = fc
    .array(kinds, { maxLength: 10 })
    .map((kinds) =>
      kinds.map(({ end, ...call }, i) =>
        callOf({ ...call, n: i + 1, ...(end !== 'open' && { closed: endings[end] }) }),
      ),
    );
  const anyRules = fc.record({
    run: fc.constantFrom(...runs),
    maxAttempts: fc.integer({ min: 1, max: 5 }),
    onUnknown: fc.constantFrom('retry' as const, 'hold' as const, undefined),
    force: fc.boolean(),
  });
  const routes = fc.constantFrom(1 as const, 2 as const);
  const isPicture = ({ closed }: Call): boolean => closed !== undefined && 'picture' in closed;

  it('is done where its fingerprint has a picture, by force only where this run made it', () => {
    fc.assert(
      fc.property(routes, stories, anyRules, (route, calls, rules) => {
        const made = calls.filter((call) => isPicture(call) && call.fingerprint === 'f1');
        const counting = made.filter((call) => !rules.force || call.run === rules.run);
        const verdict = judge(route, calls, 'f1', rules);
        expect(verdict.is === 'done').toBe(counting.length > 0);
        if (verdict.is === 'done') expect(verdict.call).toBe(counting.at(-1));
      }),
    );
  });

  it('is held only for a call of unknown charge, and failed only by the code of one that cost an attempt', () => {
    fc.assert(
      fc.property(routes, stories, anyRules, (route, calls, rules) => {
        const verdict = judge(route, calls, 'f1', rules);
        if (verdict.is !== 'held' && verdict.is !== 'failed') return;
        const { closed, run, fingerprint } = verdict.call;
        expect(run === rules.run || (fingerprint === 'f1' && !rules.force)).toBe(true);
        expect(verdict.code).toBe(closed ? closed.error_code : 'worker_lost');
        expect(costsAttempt(verdict.code)).toBe(true);
        if (verdict.is === 'held') expect(closed?.charged ?? 'unknown').toBe('unknown');
        if (verdict.is === 'held') expect(rules.onUnknown).not.toBe('retry');
      }),
    );
  });

  it('changes nothing but the number of the next call for calls that cost nothing', () => {
    const free = fc.constantFrom<Ending[]>('rate_limited', 'no_credit', 'not_sent');
    fc.assert(
      fc.property(routes, stories, anyRules, fc.nat(10), free, (route, calls, rules, at, end) => {
        const { run } = rules;
        const more = calls.toSpliced(at, 0, callOf({ run, closed: endings[end] }));
        const numbered = more.map((call, i) => callOf({ ...call, n: i + 1 }));
        const [before, after] = [judge(route, calls, 'f1', rules), judge(route, numbered, 'f1', rules)];
        expect(after.is).toBe(before.is);
        if (before.is !== 'due' || after.is !== 'due') return;
        expect(after.due).toEqual({ ...before.due, n: before.due.n + 1 });
      }),
    );
  });

  it('gives a row no less where it is given more attempts', () => {
    fc.assert(
      fc.property(routes, stories, anyRules, (route, calls, rules) => {
        const before = judge(route, calls, 'f1', rules);
        const after = judge(route, calls, 'f1', { ...rules, maxAttempts: rules.maxAttempts + 1 });
        if (before.is !== 'failed') expect(after).toEqual(before);
        else expect(['failed', 'due']).toContain(after.is);
      }),
    );
  });
});

describe('backoffMs', () => {
  it('doubles from a second, give or take a fifth, and never takes more than 30 s', () => {
    expect([2, 3, 4, 5].map((attempt) => backoffMs(attempt, 0.5))).toEqual([1000, 2000, 4000, 8000]);
    expect([0, 0.5, 0.999].map((random) => backoffMs(2, random))).toEqual([800, 1000, 1200]);
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempt, random) => {
          const ms = backoffMs(attempt, random);
          expect(ms).toBeGreaterThanOrEqual(800);
          expect(ms).toBeLessThanOrEqual(30_000);
          expect(ms).toBeLessThanOrEqual(backoffMs(attempt + 1, random));
          expect(ms).toBeLessThanOrEqual(backoffMs(attempt, Math.min(0.999, random + 0.1)));
        },
      ),
    );
  });
});
