import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { dayBegan } from '../../src/batch/day.ts';
import { self, type Owner } from '../../src/owner.ts';
import { addUp } from '../../src/records/books.ts';
import { callId, chargeOf, keyOf, type Call, type Closed } from '../../src/records/call.ts';
import { readHead, toLine } from '../../src/records/index-file.ts';
import type { Run } from '../../src/records/runs.ts';
import { judge } from '../../src/records/state.ts';
import type { Stories } from '../../src/records/stories.ts';
import { throttleKeys } from '../../src/throttle/keys.ts';
import { createLedger, type Books } from '../../src/throttle/ledger.ts';
import { createThrottle, type Slot } from '../../src/throttle/throttle.ts';
import { callOf, endings, type Ending } from '../fixtures/call.ts';
import { clockedRedis, Wait, type ClockedRedis } from '../fixtures/clocked-redis.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';

/** Schedules that are tried. A failure names its seed, which `FC_SEED` plays again. */
const numRuns = Number(process.env['FC_RUNS'] ?? 200);
const seed = process.env['FC_SEED'];

const windowMs = 6000;
const accounts = ['a', 'b'];
const zone = 'Asia/Shanghai';
const day = 86_400_000;

let server: RedisServer;
let clock: ClockedRedis;
beforeAll(async () => {
  server = await startRedis();
  clock = clockedRedis(server.url);
  clock.redis.setMaxListeners(0);
  vi.spyOn(performance, 'now').mockImplementation(() => clock.now);
});
afterAll(async () => {
  vi.restoreAllMocks();
  clock.redis.disconnect();
  await server.close();
});

/** What befalls the processes, each at some moment of their work. */
type Event =
  | { is: 'written to disk' | 'taken up'; run: number }
  /** Redis comes back as it was on disk; `noticed`: the processes have seen their connections close. */
  | { is: 'lost'; noticed: boolean }
  | { is: 'killed'; process: number }
  | { is: 'later'; ms: number };

const events: fc.Arbitrary<Event> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ is: fc.constant('written to disk' as const), run: fc.constant(0) }) },
  { weight: 2, arbitrary: fc.record({ is: fc.constant('lost' as const), noticed: fc.boolean() }) },
  fc.record({ is: fc.constant('killed' as const), process: fc.nat(3) }),
  fc.record({ is: fc.constant('taken up' as const), run: fc.nat(1) }),
  fc.record({ is: fc.constant('later' as const), ms: fc.constantFrom(1, 1, 5, 400, 5000, 30_000) }),
);

const ways = ['picture', 'server_error', 'timeout', 'cut_picture', 'not_sent'] as const;
const cap = fc.option(fc.nat(9), { nil: undefined });

const schedules = fc.record({
  processes: fc.integer({ min: 2, max: 4 }),
  caps: fc.tuple(cap, cap),
  dayCap: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined }),
  budget: fc.nat(3),
  beforeMidnightMs: fc.oneof(fc.integer({ min: 0, max: 8 }), fc.integer({ min: -1000, max: 60_000 })),
  endings: fc.array(fc.constantFrom<Ending[]>(...ways), { minLength: 4, maxLength: 40 }),
  events: fc.array(events, { maxLength: 14 }),
  /** Who goes on, over and over. */
  picks: fc.array(fc.nat(999), { minLength: 20, maxLength: 200 }),
});
type Schedule = typeof schedules extends fc.Arbitrary<infer T> ? T : never;

/** A process or what befalls them; others may go on wherever it yields. */
type Actor = AsyncGenerator<void, void, void>;

interface Send {
  call: Call;
  /** Undefined: it is out, or its process has died. */
  charged?: string;
}

let namespaces = 0;

async function play(schedule: Schedule): Promise<void> {
  const { redis } = clock;
  const runs = ['r1', 'r2'];
  const keys = throttleKeys(`schedule-${(namespaces += 1)}`, 'https://api.example');
  const ledger = createLedger(redis, keys, windowMs);
  const all = [
    ...runs.flatMap((run) => [keys.ledger(run), keys.open(run)]),
    ...accounts.flatMap((name) => [keys.state(name), keys.log(name), `${keys.log(name)}:paid`]),
  ];
  clock.now = Math.ceil(clock.now / day) * day + 16 * 3_600_000 - schedule.beforeMidnightMs;

  /** The outputs' records, by run and row. */
  const records = new Map(runs.map((run) => [run, new Map<string, Call[]>()]));
  const sends: Send[] = [];
  const living = new Set<number>();
  const lives = ({ pid }: Owner): boolean => living.has(pid);
  const inHand = new Map<string, number>();
  const stopped = new Map<string, string>();

  const booksOf = (run: string): Promise<Books> => {
    const maxCredits = schedule.caps[runs.indexOf(run)];
    const facts: Run = {
      v: 1,
      run,
      manifest: 'goods.csv',
      origin: 'https://api.example',
      started_at: '',
      plan: 'p',
      rows: 99,
      columns: [],
      max_attempts: 99,
      retry_budget: schedule.budget,
      timeout_ms: 1,
      force: false,
      ...(maxCredits !== undefined && { max_credits: maxCredits }),
    };
    const stories: Pick<Stories, 'all'> = {
      async *all(wanted = () => true) {
        for (const [id, calls] of records.get(run) ?? []) {
          const head = readHead(Buffer.from(toLine(keyOf(id), 1, calls)));
          if (head && wanted(head)) yield { id, calls: [...calls] };
        }
      },
    };
    return addUp(facts, 'running', stories, clock.now - 1.25 * windowMs, clock.now - day, lives);
  };
  const mend = (run: string): Promise<void> =>
    ledger.mend(run, async () => {
      const books = await booksOf(run);
      // Others go on while the records are read.
      await goOn(3);
      return books;
    });
  const pass = async (ms: number): Promise<void> => {
    clock.now += ms;
    // Every process that lives looks after the books of all runs that it sees.
    if (ms < 5000 || living.size === 0) return;
    for (const run of runs) await ledger.mend(run, () => booksOf(run));
  };

  const expectWithin = (run: string, account: string): void => {
    const counting = sends.filter(({ charged }) => charged !== 'no').map(({ call }) => call);
    const most = schedule.caps[runs.indexOf(run)] ?? Infinity;
    expect(counting.filter((call) => call.run === run).length).toBeLessThanOrEqual(most);
    const began = dayBegan(clock.now, zone);
    const today = counting.filter((call) => call.account === account && Date.parse(call.started_at) >= began);
    expect(today.length).toBeLessThanOrEqual(schedule.dayCap ?? Infinity);
  };

  const rules = (run: string) => ({ run, maxAttempts: 99, force: false });
  /** The first row that nobody has in hand, that isn't done, and that has not just been told to let others pass. */
  const nextRow = (run: string, passing: Set<string>): string => {
    for (let row = 0; ; row++) {
      const id = `row ${row}`;
      const calls = records.get(run)?.get(id) ?? [];
      const isFree = !inHand.has(`${run} ${id}`) && !passing.has(id);
      if (isFree && judge(1, calls, 'f1', rules(run)).is === 'due') return id;
    }
  };

  async function* work(process: number, run: string, endings_: () => Ending): Actor {
    const throttle = createThrottle({ redis, keys, accounts, limit: 100, windowMs, mend });
    const spend = { charged: 'unknown', unusable: undefined, answered: false, sent: true } as const;
    const settle = (call: Call): Promise<number> =>
      throttle.settle(
        { run, call: callId(call), account: call.account },
        { ...spend, charged: chargeOf(call), sent: call.closed?.error_code !== 'not_sent' },
      );
    const passing = new Set<string>();
    const began = (): number => dayBegan(clock.now, zone);
    const dayCap = schedule.dayCap === undefined ? undefined : { credits: schedule.dayCap, began };
    for (;;) {
      yield;
      const id = nextRow(run, passing);
      inHand.set(`${run} ${id}`, process);
      const calls = records.get(run)?.get(id) ?? [];
      records.get(run)?.set(id, calls);
      for (const call of calls) {
        await settle(call);
        yield;
      }
      const verdict = judge(1, calls, 'f1', rules(run));
      if (verdict.is !== 'due') throw new Error('nobody else has had it');
      const { n, extra } = verdict.due;
      let got: Slot | { none: string };
      try {
        const { signal } = new AbortController();
        got = await throttle.take(run, callId({ id, n }), extra, signal, dayCap);
      } catch (error) {
        if (!(error instanceof Wait)) throw error;
        await pass(Math.min(error.ms, 5000));
        inHand.delete(`${run} ${id}`);
        continue;
      }
      if ('none' in got) {
        inHand.delete(`${run} ${id}`);
        if (got.none === 'yield') {
          if (passing.size > 9) passing.clear();
          passing.add(id);
          continue;
        }
        if (got.none !== 'stopped') {
          await ledger.stop(run, 8, got.none);
          stopped.set(run, got.none);
        }
        living.delete(process);
        return;
      }
      yield;
      const started_at = new Date(clock.now).toISOString();
      const { account } = got;
      let call = callOf({ run, id, n, account, started_at, owner: { ...self, pid: process } });
      calls.push(call);
      const close = (closed: Closed): void =>
        void calls.splice(calls.indexOf(call), 1, (call = { ...call, closed }));
      yield;
      const ending = endings_();
      let sent: Send | undefined;
      if (ending !== 'not_sent' && (await throttle.holds(got, new AbortController().signal))) {
        yield;
        if (throttle.isFresh(got)) {
          sends.push((sent = { call }));
          expectWithin(run, account);
          await throttle.stamp(got);
          yield;
        }
      }
      close(endings[sent ? ending : 'not_sent']);
      if (sent) sent.charged = chargeOf(call);
      yield;
      await settle(call);
      inHand.delete(`${run} ${id}`);
    }
  }

  const actors = new Map<string, Actor>();
  const onStage = new Set<string>();
  let turn = 0;
  /** Lets this many steps be done by those that are not in the middle of one. */
  async function goOn(steps: number): Promise<void> {
    for (let i = 0; i < steps; i++) {
      const free = [...actors.keys()].filter((name) => !onStage.has(name));
      const name = free[(schedule.picks[turn++ % schedule.picks.length] ?? 0) % free.length];
      if (name === undefined || onStage.size > 2) return;
      onStage.add(name);
      const { done } = (await actors.get(name)?.next()) ?? {};
      onStage.delete(name);
      if (done) actors.delete(name);
    }
  }
  let processes = 0;
  const start = (run: string, endings_: () => Ending): void => {
    const process = (processes += 1);
    living.add(process);
    actors.set(`process ${process}`, work(process, run, endings_));
  };

  const save = async (): Promise<Map<string, Buffer>> => {
    const dumps = await Promise.all(all.map((key) => redis.dumpBuffer(key)));
    return new Map(all.flatMap((key, i) => (dumps[i] ? [[key, dumps[i]] as const] : [])));
  };
  let disk = new Map<string, Buffer>();
  async function* befall(): Actor {
    for (const event of schedule.events) {
      yield;
      yield;
      if (event.is === 'written to disk') disk = await save();
      if (event.is === 'later') await pass(event.ms);
      if (event.is === 'lost') {
        await redis.del(...all);
        for (const [key, dump] of disk) await redis.restore(key, 0, dump);
        clock.server = `s${(namespaces += 1)}`;
        if (event.noticed) redis.emit('close');
      }
      if (event.is === 'killed') {
        const name = `process ${event.process + 1}`;
        if (onStage.has(name)) continue;
        actors.delete(name);
        living.delete(event.process + 1);
        for (const [row, by] of inHand) if (by === event.process + 1) inHand.delete(row);
      }
      if (event.is === 'taken up' && living.size < 5) {
        const run = runs[event.run] ?? '';
        let reads = 0;
        await ledger.open(run, async () => {
          const books = await booksOf(run);
          // Where others never rest, books are never up to date.
          if ((reads += 1) < 4) await goOn(8);
          return books;
        });
        start(run, nextEnding);
      }
    }
  }

  let calls = 0;
  const nextEnding = (): Ending => schedule.endings[calls++ % schedule.endings.length] ?? 'picture';
  for (const run of runs) await ledger.open(run, () => booksOf(run));
  disk = await save();
  for (let i = 0; i < schedule.processes; i++) start(runs[i % 2] ?? '', nextEnding);
  actors.set('events', befall());
  for (let steps = 0; actors.size > 0 && steps < 150; steps++) await goOn(1);

  // Whoever comes when all are dead or done spends what is left of the cap, and no more.
  actors.clear();
  living.clear();
  inHand.clear();
  for (const [i, run] of runs.entries()) {
    const most = schedule.caps[i];
    if (most === undefined || schedule.dayCap !== undefined) continue;
    await ledger.open(run, () => booksOf(run));
    stopped.delete(run);
    start(run, () => 'picture');
    for (let steps = 0; actors.size > 0 && steps < 400; steps++) await goOn(1);
    if (stopped.get(run) === 'budget') continue;
    expect(stopped.get(run)).toBe('cap');
    expect((await ledger.spent(run)).open).toBe(0);
  }
}

it("the caps of runs and of an account's day are never passed, whatever befalls processes and Redis", async () => {
  await fc.assert(fc.asyncProperty(schedules, play), {
    numRuns,
    endOnFailure: true,
    ...(seed && { seed: Number(seed) }),
  });
});
