import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createAccounts } from '../../src/throttle/accounts.ts';
import { logEntry, throttleKeys, type ThrottleKeys } from '../../src/throttle/keys.ts';
import { createLedger, type Books, type Ledger, type RunState } from '../../src/throttle/ledger.ts';
import { guardMs, widestGuardMs } from '../../src/throttle/policy.ts';
import { end } from '../../src/throttle/scripts.ts';
import { createThrottle, type NoSlot, type Slot, type Throttle } from '../../src/throttle/throttle.ts';
import { clockedRedis, Wait, type ClockedRedis } from '../fixtures/clocked-redis.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';

/** Histories a property is tried with. A failure names its seed, which `FC_SEED` plays again. */
const numRuns = Number(process.env['FC_RUNS'] ?? 20);
const seed = process.env['FC_SEED'];
const often = { numRuns, ...(seed && { seed: Number(seed) }) };
/** Short histories, in which much must come together. */
const moreOften = { ...often, numRuns: 4 * numRuns };

const run = 'r1';
const day = 86_400_000;
const empty: Books = {
  state: 'running',
  cap: undefined,
  budget: 1000,
  charged: 0,
  unknown: 0,
  extra: 0,
  open: [],
  recent: [],
  today: [],
};

let server: RedisServer;
let clock: ClockedRedis;

beforeAll(async () => {
  server = await startRedis();
  clock = clockedRedis(server.url);
  clock.redis.setMaxListeners(0);
});

afterAll(async () => {
  clock.redis.disconnect();
  await server.close();
});

/** What the API and the throttle agree on, and who shares it. */
interface Share {
  limit: number;
  windowMs: number;
  accounts: string[];
}

const shares = fc.record({
  limit: fc.integer({ min: 1, max: 8 }),
  windowMs: fc.constantFrom(6000, 60_000),
  accounts: fc.constantFrom<string[][]>(['a'], ['a', 'b'], ['a', 'b', 'c']),
});

let namespaces = 0;

/** The throttle's part of a Redis, as several processes see it. */
interface Shared {
  keys: ThrottleKeys;
  ledger: Ledger;
  throttle: Throttle;
  /** All data are gone, as after a restart without a file. */
  lose(): Promise<void>;
  /** The runs' books are gone, and no account's log. */
  loseBooks(): Promise<void>;
}

async function share(
  { limit, windowMs, accounts }: Share,
  books: (run: string) => Books,
  runs = [run],
): Promise<Shared> {
  const { redis } = clock;
  const keys = throttleKeys(`world-${(namespaces += 1)}`, 'https://api.example');
  const ledger = createLedger(redis, keys, windowMs);
  for (const run of runs) await ledger.open(run, () => books(run));
  const mend = (run: string): Promise<void> => ledger.mend(run, () => books(run));
  const throttle = createThrottle({ redis, keys, accounts, limit, windowMs, mend });
  const ofAccounts = accounts.flatMap((name) => [keys.log(name), keys.state(name)]);
  const ofRuns = runs.flatMap((run) => [keys.ledger(run), keys.open(run)]);
  return {
    keys,
    ledger,
    throttle,
    lose: async () => void (await redis.del(...ofRuns, ...ofAccounts)),
    loseBooks: async () => void (await redis.del(...ofRuns)),
  };
}

/** Asks once. A number: told to wait so many milliseconds. */
async function ask(
  throttle: Throttle,
  call: string,
  extra = false,
  of = run,
): Promise<Slot | NoSlot | number> {
  try {
    return await throttle.take(of, call, extra, new AbortController().signal);
  } catch (error) {
    if (error instanceof Wait) return error.ms;
    throw error;
  }
}

/** This Redis knows the account: it needs no rest where a run's books alone are lost. */
async function meet(keys: ThrottleKeys): Promise<void> {
  await clock.redis.hset(keys.state('a'), 'server', clock.server);
}

/** What is to happen, by the test's clock. */
class Timeline {
  readonly #planned: { at: number; act: () => Promise<void> }[] = [];

  plan(at: number, act: () => Promise<void>): void {
    const before = this.#planned.findIndex((next) => next.at > at);
    this.#planned.splice(before < 0 ? this.#planned.length : before, 0, { at, act });
  }

  /** @param look is called after each */
  async play(look: () => Promise<void>): Promise<void> {
    for (let next = this.#planned.shift(); next; next = this.#planned.shift()) {
      clock.now = next.at;
      await next.act();
      await look();
    }
  }
}

/** What becomes of a slot; `after` is a share of its life, which begins when it is asked for. */
interface Fate {
  is: 'sent' | 'asked for twice' | 'given back' | 'taken over' | 'forgotten';
  after: number;
}

interface Arrival {
  gapMs: number;
  process: number;
  /** Which of two outputs it is a row of; each has a run of its own, and both name their calls alike. */
  output: number;
  fate: Fate;
}

const fates = fc.record({
  is: fc.constantFrom<Fate['is'][]>(
    'sent',
    'sent',
    'sent',
    'sent',
    'asked for twice',
    'given back',
    'taken over',
    'forgotten',
  ),
  after: fc.oneof(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 0.5, 1)),
});

const arrivals = (outputs: number): fc.Arbitrary<Arrival[]> =>
  fc.array(
    fc.record({
      // In eighths of a millisecond, which Redis' three digits hold exactly.
      gapMs: fc.oneof(
        { weight: 4, arbitrary: fc.constant(0) },
        fc.integer({ min: 1, max: 160_000 }).map((eighths) => eighths / 8),
      ),
      process: fc.nat(2),
      output: fc.nat(outputs - 1),
      fate: fates,
    }),
    { minLength: 5, maxLength: 40 },
  );

/** A row's call. It is told from others by being itself, whatever names the throttle may give it. */
interface Call {
  run: string;
  call: string;
}

interface Course {
  sends: { run: string; account: string; at: number }[];
  began: number;
}

/**
 * Plays rows that arrive at three processes' lines, and compares each answer with a log kept here: a slot where some
 * account has room, on the one with most; else a wait until exactly the moment at which an entry leaves a log. After
 * each step the logs in Redis hold an entry for every call of the log kept here, at its time, and no other.
 * @param losses moments, from the start, at which Redis loses everything
 */
async function playRows(shape: Share, rows: Arrival[], losses: number[] = []): Promise<Course> {
  const { limit, windowMs, accounts } = shape;
  const width = windowMs + windowMs / 120;
  const life = windowMs / 12;
  const began = clock.now;
  const timeline = new Timeline();
  const sends: Course['sends'] = [];
  const runs = ['r1', 'r2'];
  let records: { of: Call; account: string; at: number }[] = [];
  let losing = 0;
  const lost = new Set<string>();
  /** When a run's books were found lost; who finds an account unknown lets it rest for a window since then. */
  const lostAt = new Map<string, number>();
  let known = true;
  let restsUntil = -Infinity;
  const log = new Map(accounts.map((name) => [name, new Map<Call, number>()]));
  const held = new Map<Call, string>();

  /** An output knows its own calls. */
  const books = (run: string): Books => {
    lost.delete(run);
    records = records.filter(({ at }) => at >= clock.now - 1.25 * windowMs);
    const own = records.filter(({ of }) => of.run === run);
    for (const { of, account, at } of own) log.get(account)?.set(of, at + life);
    return { ...empty, recent: own.map(({ of: { call }, account, at }) => ({ run, call, account, at })) };
  };
  const shared = await share(shape, books, runs);
  const { keys, throttle } = shared;

  const inWindow = (account: string): number[] =>
    [...(log.get(account)?.values() ?? [])].filter((at) => at > clock.now - width).toSorted((a, b) => b - a);
  const room = (account: string): number => limit - inWindow(account).length;
  const dueIn = (account: string): number => (inWindow(account)[limit - 1] ?? -Infinity) + width - clock.now;

  /** Asks, and says whether the answer is what the log kept here allows. */
  const check = async (of: Call): Promise<Slot | number> => {
    if (lost.has(of.run)) {
      books(of.run);
      lostAt.set(of.run, clock.now);
    }
    const before = held.get(of);
    const since = before === undefined ? undefined : log.get(before)?.get(of);
    const found = since !== undefined && clock.now - since <= life;
    if (before !== undefined && !found) {
      // Somebody may have sent it: it counts on, though this is its name no more.
      if (since !== undefined) log.get(before)?.set({ ...of }, since);
      log.get(before)?.delete(of);
      held.delete(of);
    }
    if (!found && !known) {
      restsUntil = (lostAt.get(of.run) ?? -Infinity) + width;
      known = true;
    }
    const rests = restsUntil > clock.now;
    const most = rests ? 0 : Math.max(...accounts.map(room));
    const due = rests ? [restsUntil - clock.now] : accounts.map(dueIn);
    const wait = Math.max(1, Math.ceil(Math.min(windowMs, ...due)));
    const got = await ask(throttle, of.call, false, of.run);
    if (typeof got === 'number') {
      expect([found, most <= 0, got]).toEqual([false, true, wait]);
      return got;
    }
    if ('none' in got) throw new Error(`no slot: ${got.none}`);
    expect(got).toMatchObject({ ...of, fresh: !found });
    if (found) {
      expect(got.account).toBe(before);
      return got;
    }
    expect(most).toBeGreaterThan(0);
    expect(room(got.account)).toBe(most);
    log.get(got.account)?.set(of, clock.now);
    held.set(of, got.account);
    return got;
  };

  /** Calls of two outputs share no entry, though they are named alike: each has its own, at its own time. */
  const compare = async (): Promise<void> => {
    const since = clock.now - 5 * windowMs;
    for (const [account, calls] of log) {
      const kept = await clock.redis.zrange(keys.log(account), `(${since}`, '+inf', 'BYSCORE', 'WITHSCORES');
      const times = kept.filter((_, i) => i % 2 === 1).map(Number);
      const expected = [...calls.values()].filter((at) => at > since);
      expect(times).toEqual(expected.toSorted((a, b) => a - b));
    }
  };

  const send = (of: Call, slot: Slot, atMs: number, recordedMs: number): void => {
    const before = losing;
    timeline.plan(atMs, async () => {
      // The connection that gave the slot is gone.
      if (before !== losing) return;
      records.push({ of, account: slot.account, at: recordedMs });
      await throttle.stamp(slot);
      log.get(slot.account)?.set(of, clock.now);
      sends.push({ run: of.run, account: slot.account, at: clock.now });
      held.delete(of);
      await throttle.settle(slot, { charged: 'yes', unusable: false, answered: true, sent: true });
    });
  };

  const lines = [0, 1, 2].map(() => [] as { of: Call; fate: Fate }[]);
  const arrive = async (process: number, of: Call, fate: Fate): Promise<void> => {
    const line = lines[process]!;
    line.push({ of, fate });
    if (line.length === 1) await serve(process);
  };
  const serve = async (process: number): Promise<void> => {
    const line = lines[process]!;
    for (let head = line[0]; head; head = line[0]) {
      const got = await check(head.of);
      if (typeof got === 'number') {
        timeline.plan(clock.now + Math.min(got, 1000), () => serve(process));
        return;
      }
      line.shift();
      await meet(process, head.of, got, head.fate);
    }
  };
  const meet = async (process: number, of: Call, slot: Slot, { is, after }: Fate): Promise<void> => {
    // A slot that was found lives anew: who found it asked only now.
    const asked = clock.now;
    const later = asked + Math.floor(after * life * 8) / 8;
    const before = losing;
    if (is === 'asked for twice') await check(of);
    if (is === 'sent' || is === 'asked for twice') {
      send(of, slot, later, asked + Math.floor(after * (later - asked)));
    } else if (is === 'given back') {
      timeline.plan(later, async () => {
        if (before !== losing) return;
        await throttle.settle(slot, { charged: 'no', unusable: undefined, answered: false, sent: false });
        log.get(slot.account)?.delete(of);
        held.delete(of);
      });
    } else if (is === 'taken over') {
      const next = { is: 'sent', after } as const;
      timeline.plan(clock.now + Math.floor(after * 2 * life), () => arrive((process + 1) % 3, of, next));
    }
  };

  for (const loss of losses) {
    timeline.plan(began + loss, async () => {
      losing += 1;
      for (const run of runs) lost.add(run);
      known = false;
      for (const entries of log.values()) entries.clear();
      held.clear();
      await shared.lose();
    });
  }
  let at = began;
  const named = runs.map(() => 0);
  for (const { gapMs, process, output, fate } of rows) {
    const of = { run: runs[output]!, call: `call-${(named[output]! += 1)}` };
    timeline.plan((at += gapMs), () => arrive(process, of, fate));
  }
  await timeline.play(compare);
  clock.now += windowMs;
  return { sends, began };
}

/** No stretch of a window and its guard may hold more sends of an account than the limit. */
function expectWithin({ limit, windowMs, accounts }: Share, sends: Course['sends']): void {
  for (const name of accounts) {
    const times = sends.filter(({ account }) => account === name).map(({ at }) => at);
    times.sort((a, b) => a - b);
    const gaps = times.slice(limit).map((at, i) => at - times[i]!);
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(windowMs + windowMs / 120);
  }
}

describe('the log', () => {
  it('never admits more than the limit to two outputs, and gives the next slot exactly when it is due', async () => {
    await fc.assert(
      fc.asyncProperty(shares, arrivals(2), async (shape, rows) => {
        const { sends } = await playRows(shape, rows);
        const sent = rows.filter(({ fate }) => ['sent', 'asked for twice', 'taken over'].includes(fate.is));
        expect(sends).toHaveLength(sent.length);
        expectWithin(shape, sends);
      }),
      often,
    );
  });

  it('admits no more although Redis loses everything, calls of other outputs included: it rests a window', async () => {
    const losses = fc.array(fc.integer({ min: 1, max: 100_000 }), { minLength: 1, maxLength: 3 });
    const twins = [0, 0, 2000, 0].map((gapMs, i) => {
      return { gapMs, process: 0, output: i % 2, fate: { is: 'sent', after: 0 } as const };
    });
    await fc.assert(
      fc.asyncProperty(shares, fc.oneof(arrivals(1), arrivals(2)), losses, async (shape, rows, losses) => {
        const { sends } = await playRows(shape, rows, losses);
        expectWithin(shape, sends);
      }),
      // Two outputs bring back a call of the same name each.
      { ...often, examples: [[{ limit: 8, windowMs: 60_000, accounts: ['a'] }, twins, [1000]]] },
    );
  });

  it('uses 97 % of the limit and more while there is work', async () => {
    await fc.assert(
      fc.asyncProperty(shares, fc.integer({ min: 2, max: 4 }), async (shape, windows) => {
        const { limit, windowMs, accounts } = shape;
        const rows = Array.from({ length: windows * limit * accounts.length + 1 }, (_, i) => ({
          gapMs: 0,
          process: i % 3,
          output: i % 2,
          fate: { is: 'sent', after: 0.03 } as const,
        }));
        const { sends, began } = await playRows(shape, rows);
        const took = Math.max(...sends.map(({ at }) => at)) - began;
        expect((windows * windowMs) / took).toBeGreaterThanOrEqual(0.97);
      }),
      { ...often, numRuns: Math.ceil(numRuns / 3) },
    );
  });
});

const charges = fc.constantFrom('yes' as const, 'no' as const, 'unknown' as const);
const callNames = fc.nat(11).map((n) => `call-${n}`);
const bookings = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ is: fc.constant('take' as const), call: callNames, extra: fc.boolean() }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ is: fc.constant('settle' as const), call: callNames, charged: charges }),
    },
    fc.record({ is: fc.constant('lose' as const) }),
    fc.record({ is: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 9000 }) }),
    fc.record({ is: fc.constant('open' as const), cap: fc.option(fc.nat(8), { nil: undefined }) }),
  ),
  { minLength: 10, maxLength: 50 },
);

describe('the books', () => {
  it('never let cap or budget be passed, calls in flight and losses of Redis included', async () => {
    const start = { cap: fc.option(fc.nat(8), { nil: undefined }), budget: fc.nat(4) };
    await fc.assert(
      fc.asyncProperty(fc.record(start), bookings, async ({ cap, budget }, actions) => {
        const spent: Books = { ...empty, cap, budget };
        const open = new Map<string, { extra: boolean; at: number }>();
        /** Calls that some books were made with: they are on record. */
        const recorded = new Set<string>();
        const books = (): Books => ({
          ...spent,
          open: [...open].map(([call, { extra }]) => ({ call, account: 'a', extra })),
          recent: [...open].map(([call, { at }]) => ({ run, call, account: 'a', at: at - 5000 })),
        });
        const shape = { limit: 1_000_000, windowMs: 60_000, accounts: ['a'] };
        const { keys, ledger, throttle, loseBooks } = await share(shape, books);
        await meet(keys);
        // Its account has a state as well.
        await throttle.refused({ run, call: 'earlier', account: 'a' } as Slot, 0);
        const answer = (call: string, extra: boolean): unknown => {
          if (recorded.has(call)) return { none: 'on record', account: 'a' };
          if (open.has(call) && clock.now - open.get(call)!.at <= 5000) return { fresh: false };
          open.delete(call);
          const extras = [...open.values()].filter(({ extra }) => extra).length;
          const paid = spent.charged + spent.unknown;
          const most = spent.cap ?? Infinity;
          if (paid >= most) return { none: 'cap' };
          if (paid + open.size >= most) return { none: 'yield' };
          if (extra && spent.extra >= budget) return { none: 'budget' };
          if (extra && spent.extra + extras >= budget) return { none: 'yield' };
          open.set(call, { extra, at: clock.now });
          return { fresh: true };
        };
        for (const action of actions) {
          if (action.is === 'take') {
            const expected = answer(action.call, action.extra);
            expect(await ask(throttle, action.call, action.extra)).toMatchObject(expected as object);
          } else if (action.is === 'settle') {
            const { call, charged } = action;
            await throttle.settle(
              { run, call, account: 'a' },
              { charged, unusable: undefined, answered: true, sent: true },
            );
            const was = open.get(call);
            if (was && charged !== 'no') {
              spent[charged === 'yes' ? 'charged' : 'unknown'] += 1;
              if (was.extra) spent.extra += 1;
            }
            open.delete(call);
            recorded.delete(call);
          } else if (action.is === 'pass') {
            clock.now += action.ms;
          } else if (action.is === 'open') {
            spent.cap = action.cap;
            await ledger.open(run, () => books());
            for (const call of open.keys()) recorded.add(call);
          } else {
            await loseBooks();
            await ledger.mend(run, () => books());
            for (const call of open.keys()) recorded.add(call);
          }
          const { cap, charged, unknown } = spent;
          expect(await ledger.spent(run)).toEqual({ charged, unknown, open: open.size, cap });
          if (!actions.some(({ is }) => is === 'open')) {
            expect(charged + unknown + open.size).toBeLessThanOrEqual(cap ?? Infinity);
            const extras = [...open.values()].filter(({ extra }) => extra).length;
            expect(spent.extra + extras).toBeLessThanOrEqual(budget);
          }
        }
      }),
      moreOften,
    );
  });

  it('keep the first reason to stop, and a state that only its own commands change', async () => {
    const commands = fc.array(
      fc.oneof(
        fc.constantFrom('pause' as const, 'resume' as const, 'cancel' as const, 'lose' as const),
        fc.record({ code: fc.constantFrom(7 as const, 8 as const, 13 as const), reason: fc.string() }),
      ),
      { maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(commands, async (commands) => {
        const shape = { limit: 100, windowMs: 60_000, accounts: ['a'] };
        const { keys, ledger, throttle, loseBooks } = await share(shape, () => empty);
        await meet(keys);
        let state: RunState = 'running';
        const cancelling = { code: 14, reason: 'cancelled by its user' };
        let stop: typeof cancelling | undefined;
        for (const [i, command] of commands.entries()) {
          const before: RunState = state;
          if (command === 'lose') {
            await loseBooks();
            // The records know of a pause and of a cancel; why it stopped else is found again.
            const known: 'running' | 'paused' | 'cancelled' = before === 'stopped' ? 'running' : before;
            state = known;
            await ledger.mend(run, () => ({ ...empty, state: known }));
            stop = state === 'cancelled' ? cancelling : undefined;
          } else if (typeof command === 'object') {
            await ledger.stop(run, command.code, command.reason);
            stop ??= command;
            if (state !== 'cancelled') state = 'stopped';
          } else {
            expect(await ledger[command](run)).toBe(before);
            if (command === 'pause' && before === 'running') state = 'paused';
            if (command === 'resume' && before === 'paused') state = 'running';
            if (command === 'cancel' && (before === 'running' || before === 'paused')) {
              [state, stop] = ['cancelled', cancelling];
            }
          }
          expect(await ledger.state(run)).toEqual({ state, ...(stop && { stop }) });
          const got = await ask(throttle, `call-${i}`);
          expect(got).toMatchObject(state === 'running' ? { fresh: true } : { none: state });
        }
      }),
      often,
    );
  });
});

type Step =
  | { is: 'refuse'; afterMs: number | undefined }
  | { is: 'pass'; ms: number }
  | { is: 'fill' | 'refuse when full' };
const refusal: Step = { is: 'refuse', afterMs: 1000 };
const pass: Step = { is: 'pass', ms: 2000 };
const full: Step = { is: 'refuse when full' };
const refusalSteps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      is: fc.constant('refuse' as const),
      afterMs: fc.option(fc.oneof(fc.integer({ min: 0, max: 90_000 }), fc.constant(2_000_000)), {
        nil: undefined,
      }),
    }),
    fc.record({
      is: fc.constant('pass' as const),
      ms: fc.oneof(
        fc.integer({ min: 0, max: 70_000 }),
        fc.integer({ min: 0, max: 9 * day }),
        fc.constantFrom(60_500, day - 1, day, 3 * day),
      ),
    }),
    fc.record({ is: fc.constantFrom('fill' as const, 'refuse when full' as const) }),
  ),
  { minLength: 1, maxLength: 25 },
);

describe('refusals', () => {
  const windowMs = 60_000;
  const base = windowMs / 120;
  const widest = windowMs / 20;

  it('pause the account, lower its cap and widen its guard, all within bounds and for a while', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.integer({ min: 1, max: 8 }), fc.constant(65)),
        refusalSteps,
        async (limit, steps) => {
          const shape = { limit, windowMs, accounts: ['a'] };
          const { keys, throttle } = await share(shape, () => empty);
          const slot = { run, call: 'refused', account: 'a' } as Slot;
          const sent: number[] = [];
          let calls = 0;
          let [pausedUntil, refusingSince, isParked] = [0, Infinity, false];
          let [cap, capAt, guard, guardAt] = [limit, 0, base, clock.now];
          const guardNow = (): number =>
            Math.min(widest, Math.max(base, guard / 2 ** Math.floor((clock.now - guardAt) / day)));
          const width = (): number => windowMs + guardNow();
          const logged = (ms: number): number => sent.filter((at) => at > clock.now - ms).length;

          /** As many as it gives now. */
          const fill = async (): Promise<void> => {
            for (;;) {
              const isPaused = pausedUntil > clock.now;
              if (!isParked && !isPaused && cap < limit && clock.now - capAt > width()) {
                [cap, capAt] = [Math.min(limit, cap + Math.ceil(limit / 30)), clock.now];
              }
              const got = await ask(throttle, `call-${(calls += 1)}`);
              const due = isPaused ? pausedUntil : (sent.at(-cap) ?? -Infinity) + width();
              if (isParked) expect(got).toMatchObject({ reasons: 'rate_limited' });
              else if (due <= clock.now) expect(got).toMatchObject({ fresh: true });
              else expect(got).toBe(Math.min(windowMs, Math.ceil(due - clock.now)));
              if (isParked || due > clock.now) break;
              sent.push(clock.now);
            }
            expect(logged(windowMs + base)).toBeLessThanOrEqual(limit);
          };
          const refuse = async (afterMs: number | undefined): Promise<void> => {
            await throttle.refused(slot, afterMs);
            isParked ||= clock.now - refusingSince >= 15 * windowMs;
            refusingSince = Math.min(refusingSince, clock.now);
            if (pausedUntil <= clock.now) {
              const isFull = logged(windowMs + widest + 0.001) >= cap;
              if (isFull) [guard, guardAt] = [Math.min(widest, guardNow() * 2), clock.now];
              [cap, capAt] = [Math.min(limit, Math.max(3, cap - Math.ceil(limit / 6))), clock.now];
            }
            pausedUntil = Math.max(pausedUntil, clock.now + Math.min(afterMs ?? windowMs / 6, 15 * windowMs));
          };

          for (const step of steps) {
            if (step.is === 'pass') clock.now += step.ms;
            if (step.is === 'refuse when full') clock.now = Math.max(clock.now, pausedUntil);
            if (step.is === 'fill' || step.is === 'refuse when full') await fill();
            if (step.is === 'refuse') await refuse(step.afterMs);
            if (step.is === 'refuse when full') await refuse(1000);
            const state = await clock.redis.hgetall(keys.state('a'));
            expect(Math.min(limit, Number(state['cap'] ?? limit))).toBe(cap);
            expect(Number(state['guard'] ?? base)).toBeCloseTo(guard, 6);
            expect(Number(state['guard_at'] ?? guardAt)).toBeCloseTo(guardAt, 3);
            expect([guard >= base, guard <= widest]).toEqual([true, true]);
            expect(Number(state['paused'] ?? 0)).toBeLessThanOrEqual(clock.now + 15 * windowMs);
            // How it is tried again is the next property's affair.
            if (isParked) break;
          }
          await fill();
          // Who is left alone comes back to the whole limit, a thirtieth of it a window.
          const windows = isParked ? 0 : Math.min(limit, 30) + 1;
          for (let i = 0; i < windows; i++) {
            clock.now = Math.max(clock.now, pausedUntil) + 2 * windowMs;
            await fill();
          }
          const [gauge] = await createAccounts(clock.redis, keys, ['a'], limit, windowMs).gauges();
          expect([gauge?.limit, gauge?.parked]).toEqual([cap, isParked ? 'rate_limited' : undefined]);
          if (!isParked) expect(cap).toBe(limit);
        },
      ),
      {
        ...moreOften,
        examples: [
          // Refused for fifteen windows to the millisecond; once in a log of a window ago, within the widest guard.
          [4, [refusal, { is: 'pass', ms: 900_000 }, refusal]],
          [3, [{ is: 'fill' }, { is: 'pass', ms: 62_000 }, refusal, { is: 'fill' }]],
          [3, [{ is: 'fill' }, { is: 'pass', ms: 59_000 }, refusal, { is: 'fill' }]],
          // A sixth of the limit, rounded up, down to three.
          [7, [refusal, pass, refusal, pass, refusal, { is: 'fill' }]],
          [5, [refusal, pass, refusal, pass, refusal, { is: 'fill' }]],
          // A day to the millisecond halves the guard; a window and its guard are not over at their end.
          [3, [full, full, { is: 'pass', ms: day - 1 }, full]],
          [3, [full, full, { is: 'pass', ms: day }, full]],
          [5, [refusal, { is: 'pass', ms: 60_500 }, { is: 'fill' }]],
          // The guard narrows a day after the last full log.
          [8, [full, full, full, full, full, full, full]],
          [2, [full, full, full, full, full]],
          [8, [full, full, full, { is: 'pass', ms: day - 1 }, full, full]],
          [8, [full, full, full, { is: 'pass', ms: day }, full, full]],
          [
            8,
            [full, full, full, full, { is: 'pass', ms: 70_000 }, refusal, { is: 'pass', ms: day - 1 }, full],
          ],
        ],
      },
    );
  });

  it('forget a pause that can only be of a clock that was set back', async () => {
    const { throttle } = await share({ limit: 6, windowMs, accounts: ['a'] }, () => empty);
    await throttle.refused({ run, call: 'call-0', account: 'a' } as Slot, Infinity);
    expect(await ask(throttle, 'call-1')).toBe(windowMs);
    clock.now -= 1;
    expect(await ask(throttle, 'call-1')).toMatchObject({ fresh: true });
  });
});

describe('a slot', () => {
  it('is good for sending for a twelfth of a window since it was asked for, however late it was heard of', async () => {
    const windowMs = 6000;
    const life = windowMs / 12;
    const moments = fc.oneof(fc.integer({ min: 0, max: life + 1 }), fc.constantFrom(0, life / 2, life));
    const now = vi.spyOn(performance, 'now').mockImplementation(() => clock.now);
    try {
      await fc.assert(
        fc.asyncProperty(moments, moments, fc.boolean(), async (heardMs, laterMs, isFound) => {
          const { throttle } = await share({ limit: 5, windowMs, accounts: ['a'] }, () => empty);
          if (isFound) await ask(throttle, 'call-1');
          const asking = ask(throttle, 'call-1');
          // It has asked, and waits for the answer.
          await Promise.resolve();
          clock.now += heardMs;
          const slot = (await asking) as Slot;
          expect(slot.fresh).toBe(!isFound);
          clock.now += laterMs;
          expect(throttle.isFresh(slot)).toBe(heardMs + laterMs <= life);
        }),
        often,
      );
    } finally {
      now.mockRestore();
    }
  });
});

describe('the last bytes', () => {
  it('leave where no window and its guard hold more than the limit, and wait exactly until then', async () => {
    const windowMs = 6000;
    const [base, widest] = [guardMs(windowMs), widestGuardMs(windowMs)];
    const steps = fc.array(
      fc.record({
        // In eighths of a millisecond; a window and its guard are over at their very end.
        passMs: fc.oneof(
          fc.integer({ min: 0, max: 16_000 }).map((eighths) => eighths / 8),
          fc.constantFrom(0, base, windowMs, windowMs + base - 0.5, windowMs + base, windowMs + widest),
        ),
        call: fc.nat(11),
        // Another process may have been told another limit.
        limit: fc.constantFrom(1, 2, 3, 3, 3, 4),
        widened: fc.boolean(),
      }),
      { minLength: 5, maxLength: 40 },
    );
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        const { keys } = await share({ limit: 3, windowMs, accounts: ['a'] }, () => empty);
        let ends = new Map<string, number>();
        for (const { passMs, call, limit, widened } of steps) {
          clock.now += passMs;
          const facts = { guard: widened ? widest : base, guard_at: clock.now };
          await clock.redis.hset(keys.state('a'), facts);
          const width = windowMs + facts.guard;
          const entry = logEntry(run, `call-${call}`);
          const names = [keys.ends('a'), keys.state('a')];
          const reply = await clock.redis.eval(end, 2, ...names, entry, limit, windowMs, base, widest);
          ends.delete(entry);
          ends = new Map([...ends].filter(([, at]) => at > clock.now - width));
          const oldest = [...ends.values()].toSorted((a, b) => b - a)[limit - 1];
          if (oldest === undefined) {
            expect(reply).toBe(0);
            ends.set(entry, clock.now);
            const kept = await clock.redis.pttl(keys.ends('a'));
            expect(kept).toBeGreaterThan(windowMs + widest);
            expect(kept).toBeLessThanOrEqual(2 * windowMs);
          } else expect(reply).toBe(Math.max(1, Math.ceil(oldest + width - clock.now)));
          const found = await clock.redis.zrange(keys.ends('a'), '0', '-1', 'WITHSCORES');
          expect(found.filter((_, i) => i % 2 === 1).map(Number)).toEqual([...ends.values()]);
        }
      }),
      often,
    );
  });
});

describe('a gauge', () => {
  it('shows an account as it stands: its latest sends, its limit, its pause and why it is parked', async () => {
    const windowMs = 6000;
    const { keys, throttle } = await share({ limit: 12, windowMs, accounts: ['a', 'b'] }, () => empty);
    const accounts = createAccounts(clock.redis, keys, ['a', 'b'], 12, windowMs);
    const idle = { sent: [], limit: 12, pausedMs: 0, parked: undefined };
    expect(await accounts.gauges()).toEqual([
      { ...idle, name: 'a' },
      { ...idle, name: 'b' },
    ]);
    for (const call of ['call-1', 'call-2', 'call-3']) {
      await throttle.stamp({ run, call, account: 'a' } as Slot);
      clock.now += 10_000.25;
    }
    await throttle.refused({ run, call: 'call-3', account: 'a' } as Slot, 4000);
    await throttle.park('b', 'no_credit', 1);
    clock.now += 1000;
    const [a, b] = await accounts.gauges();
    // The first of its three sends is more than five windows ago.
    expect(a).toMatchObject({ name: 'a', limit: 10, pausedMs: 3000, parked: undefined });
    expect(a?.sent.map(Math.round)).toEqual([21_001, 11_000]);
    expect(b).toMatchObject({ ...idle, name: 'b', parked: 'no_credit' });
    clock.now += 10_000;
    expect((await accounts.gauges())[0]?.pausedMs).toBe(0);
  });

  it('shows five windows of sends, of which none moves back with the clock', async () => {
    const { keys, throttle } = await share({ limit: 12, windowMs: 6000, accounts: ['a'] }, () => empty);
    const logged = (): Promise<string[]> => clock.redis.zrange(keys.log('a'), '(0', '+inf', 'BYSCORE');
    const slot = (await ask(throttle, 'call-1')) as Slot;
    clock.now -= 1000;
    await throttle.stamp(slot);
    clock.now += 1000 + 4.9 * 6000;
    await ask(throttle, 'call-2');
    expect(await logged()).toEqual([logEntry(run, 'call-1'), logEntry(run, 'call-2')]);
    clock.now += 0.2 * 6000;
    await ask(throttle, 'call-3');
    expect(await logged()).toEqual([logEntry(run, 'call-2'), logEntry(run, 'call-3')]);
  });
});

describe('parked accounts', () => {
  it('get one call in ten windows each, until one that was sent since then is answered', async () => {
    const windowMs = 6000;
    const probeAfter = 10 * windowMs;
    const steps = fc.array(
      fc.record({
        passMs: fc.oneof(fc.integer({ min: 0, max: 2 * probeAfter }), fc.constant(probeAfter)),
        answer: fc.constantFrom('none' as const, 'old' as const, 'refused' as const, 'probe' as const),
        // Seldom: most of it would be one long trial.
        asked: fc.boolean().chain((is) => (is ? fc.boolean() : fc.constant(false))),
      }),
      { minLength: 1, maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(fc.constantFrom<string[][]>(['a'], ['a', 'b']), steps, async (accounts, steps) => {
        const { keys, throttle } = await share({ limit: 5, windowMs, accounts }, () => empty);
        const old = (await ask(throttle, 'old')) as Slot;
        await throttle.stamp(old);
        const open = new Set([old.call]);
        clock.now += 1;
        const tried = new Map<string, number>();
        for (const name of accounts) {
          await throttle.park(name, 'no_credit', 1);
          tried.set(name, clock.now);
        }
        for (const [i, { passMs, answer, asked }] of steps.entries()) {
          clock.now += passMs;
          if (asked) {
            await createAccounts(clock.redis, keys, accounts, 5, windowMs).probe();
            for (const name of accounts) tried.set(name, -Infinity);
          }
          for (let n = 0; n < 2 * accounts.length; n++) {
            const due = accounts.filter((name) => clock.now - tried.get(name)! >= probeAfter);
            const got = await ask(throttle, `call-${i}-${n}`);
            if (due.length === 0) {
              const reasons = accounts.map(() => 'no_credit').join(', ');
              expect(got).toEqual({ none: open.size > 0 ? 'parked meanwhile' : 'parked', reasons });
              continue;
            }
            const slot = got as Slot;
            expect(due).toContain(slot.account);
            tried.set(slot.account, clock.now);
            await throttle.stamp(slot);
            const settlement = { charged: 'no', unusable: undefined, sent: true } as const;
            open.add(slot.call);
            if (answer === 'refused') open.delete(slot.call);
            if (answer === 'old') open.delete(old.call);
            if (answer === 'refused') await throttle.settle(slot, { ...settlement, answered: false });
            if (answer === 'old') await throttle.settle(old, { ...settlement, answered: true });
            if (answer === 'probe') {
              await throttle.settle(slot, { ...settlement, answered: true });
              expect(await clock.redis.hexists(keys.state(slot.account), 'parked')).toBe(0);
              return;
            }
          }
        }
      }),
      {
        ...moreOften,
        // Nobody has tried it since it was asked for: what an older call says is no trial.
        examples: [[['a', 'b'], [{ passMs: 0, answer: 'old', asked: true }]]],
      },
    );
  });
});
