import { createAccounts } from '../../src/throttle/accounts.ts';
import { createLedger } from '../../src/throttle/ledger.ts';
import { throttleKeys } from '../../src/throttle/keys.ts';
import { createDraft } from '../../src/batch/draft.ts';
import type { Desks } from '../../src/batch/desks.ts';
import { openOutput } from '../../src/batch/output.ts';
import { planRun, type PlanOrder } from '../../src/batch/plan.ts';
import type { Step } from '../../src/batch/steps.ts';
import { openWorkshop, type Workshop } from '../../src/batch/work.ts';
import { Secret, type Config } from '../../src/config.ts';
import { UsageError } from '../../src/errors.ts';
import type { Log } from '../../src/log.ts';
import type { Row } from '../../src/model.ts';
import type { Owner } from '../../src/owner.ts';
import { createQueue } from '../../src/queue/queue.ts';
import { createApi, goodManners, origin, type Manners } from './api.ts';
import { createChecks, type Checks } from './checks.ts';
import { createDesk } from './desk.ts';
import { createDisk, outputUri } from './disk.ts';
import { pictureOf } from './pictures.ts';
import { createRedis, empty, type RedisData } from './redis.ts';
import { createScheduler, noFaults, seeded, type Faults, type Process, type Scheduler } from './scheduler.ts';
import { onStage, type World } from './stage.ts';

const namespace = 'sim';
const lockMs = 6000;

/** What a history is like; the seed decides it before anything happens. */
interface Plot {
  hosts: number;
  workers: number;
  accounts: string[];
  limit: number;
  windowMs: number;
  timeoutMs: number;
  ownRedis: boolean;
  aof: boolean;
  grainMs: number;
  rounds: Round[];
}

/** A run, or one that is cut off and never ended. */
interface Round {
  rows: Row[];
  cap: number | undefined;
  dayCap: number | undefined;
  budget: number;
  onUnknown: 'retry' | 'hold' | undefined;
  maxAttempts: number;
  force: boolean;
  faults: Faults;
  manners: Manners;
  slowestMs: number;
  /** Virtual milliseconds with faults. */
  stormMs: number;
  /** Within it Redis loses something so often. */
  losses: number;
  isAbandoned: boolean;
}

function plotOf(random: () => number): Plot {
  const upTo = (most: number): number => Math.floor(random() * (most + 1));
  const pick = <T>(...all: T[]): T => all[upTo(all.length - 1)]!;
  const often = (share: number): boolean => random() < share;
  const rate = (most: number): number => (often(0.4) ? 0 : most * 10 ** (-2 * random()));
  const rowCount = 3 + upTo(5);
  const prompts = 1 + upTo(3);
  const asks = Array.from({ length: rowCount }, () => ({
    picture: pick('a', 'b', 'c', 'u'),
    prompt: upTo(prompts),
  }));
  const rowsOf = (isRenamed: boolean): Row[] =>
    asks.map(({ picture, prompt }, i) => ({
      row: i + 1,
      line: i + 2,
      id: `r${isRenamed && i % 2 === 0 ? i + 10 : i}`,
      pictures: [pictureOf(picture)],
      prompt: `prompt ${prompt}`,
      size: '1K',
      ratio: '1:1',
      route: i % 3 === 0 ? 2 : 1,
      output: `${isRenamed ? 'again/' : ''}${isRenamed && i % 2 === 0 ? i + 10 : i}.{ext}`,
      columns: {},
      selected: true,
    }));
  const round = (): Round => {
    const weights = Object.keys(goodManners).map((manner) => [manner, rate(0.3)] as const);
    const manners = { ...(Object.fromEntries(weights) as Manners), served: 1 };
    // These end a run at once.
    for (const rare of ['no credit', 'firewall', 'bad'] as const) if (!often(0.15)) manners[rare] = 0;
    return {
      rows: rowsOf(false),
      cap: often(0.3) ? 1 + upTo(rowCount) : undefined,
      dayCap: often(0.1) ? 2 + upTo(2 * rowCount) : undefined,
      budget: often(0.3) ? upTo(2) : 10,
      onUnknown: pick(undefined, undefined, 'retry', 'hold'),
      maxAttempts: 2 + upTo(3),
      force: false,
      faults: {
        kill: rate(0.02),
        freeze: rate(0.01),
        slow: rate(0.1),
        lostReply: rate(0.03),
        strike: rate(0.1),
      },
      manners,
      slowestMs: pick(1500, 6000, 15_000),
      stormMs: pick(5000, 20_000, 60_000, 120_000),
      losses: often(0.35) ? 1 + upTo(2) : 0,
      isAbandoned: often(0.1),
    };
  };
  const rounds = [round()];
  if (often(0.5)) {
    // Some rows ask for what others asked for before.
    const next = round();
    for (const ask of asks) if (often(0.4)) ask.prompt = upTo(prompts);
    next.rows = rowsOf(often(0.3));
    next.force = often(0.15);
    rounds.push(next);
  }
  const last = rounds.at(-1)!;
  last.isAbandoned = false;
  const calm: Round = {
    ...last,
    cap: undefined,
    dayCap: undefined,
    budget: 1000,
    onUnknown: 'retry',
    maxAttempts: 4,
    force: false,
    faults: noFaults,
    manners: goodManners,
    slowestMs: 1500,
    stormMs: 0,
    losses: 0,
  };
  const hosts = pick(1, 1, 2, 3);
  return {
    hosts,
    workers: 2 + upTo(2),
    accounts: often(0.3) ? ['one', 'two'] : ['one'],
    limit: 2 + upTo(3),
    windowMs: pick(6000, 12_000),
    timeoutMs: pick(8000, 20_000),
    ownRedis: hosts > 1 || often(0.5),
    aof: often(0.7),
    grainMs: pick(0, 0, 1000, 2000),
    rounds: [...rounds, calm, calm],
  };
}

/** What came of a history that went as it should. */
export interface Played {
  /** Calls that the API saw. */
  calls: number;
  /** How often somebody asked anything of the surroundings. */
  points: number;
  virtualMs: number;
  deaths: number;
}

/**
 * Plays the history of a seed to its end.
 * @throws Error saying what is not as it should be
 */
export async function playHistory(seed: number, trace?: (line: string) => void): Promise<Played> {
  const sim = createScheduler(seeded(seed), trace);
  const plot = plotOf(sim.random);
  trace?.(`plot ${JSON.stringify({ ...plot, rounds: plot.rounds.length })}`);
  const disk = createDisk(sim, plot.grainMs);
  const redis = createRedis(sim, plot.aof);
  const living = new Map<string, Process>();
  const livesHere = ({ host, pid }: Owner): boolean | undefined => {
    if (host !== sim.current?.owner.host) return undefined;
    return living.get(`${host} ${pid}`)?.dead === false;
  };
  let checks: Checks | undefined;
  const api = createApi(sim, disk, (served) => checks?.onBegin(served));
  const openDesks = async (): Promise<Desks> => {
    const client = redis.connect(sim.current!);
    const keys = throttleKeys(namespace, origin);
    return {
      redis: client as never,
      keys,
      desk: createDesk(client),
      ledger: createLedger(client as never, keys, plot.windowMs),
      queue: createQueue(client as never, namespace, log),
      accounts: createAccounts(client as never, keys, plot.accounts, plot.limit, plot.windowMs),
      leave: async () => undefined,
    };
  };
  const world: World = { sim, disk, redis, api, livesHere, openDesks };
  const log = logOf(sim);
  checks = createChecks({ sim, disk, api, processes: living, limit: plot.limit, windowMs: plot.windowMs });
  return onStage(world, () => play({ plot, world, log, living, checks }));
}

interface Play {
  plot: Plot;
  world: World;
  log: Log;
  living: Map<string, Process>;
  checks: Checks;
}

async function play({ plot, world, log, living, checks }: Play): Promise<Played> {
  const { sim, disk, redis, api } = world;
  const config: Config = {
    accounts: plot.accounts.map((name) => ({ name, key: new Secret(name) })),
    baseUrl: origin,
    redisUrl: plot.ownRedis ? 'redis://simulated' : undefined,
    namespace,
    stateDir: '/sim/state',
    searchPath: '',
    runtimeDir: undefined,
    dumbTerminal: false,
    rateLimit: plot.limit,
    rateWindowMs: plot.windowMs,
    logLevel: undefined,
    proxy: undefined,
  };
  let pids = 100;
  let deaths = 0;
  let bug: unknown;
  const begin = (kind: string, host: number, work: () => Promise<void>): Process => {
    const pid = (pids += 1);
    const name = `${kind}${pid - 100}`;
    const owner: Owner = { host: `host${host}`, pid, started: String(pid) };
    const process: Process = { name, owner, dead: false, frozenUntil: 0 };
    living.set(`${owner.host} ${pid}`, process);
    sim.begin(process, () =>
      work().catch((error: unknown) => {
        bug ??= error;
      }),
    );
    return process;
  };

  /** Workers that are there, each in its seat. */
  const seats: { process: Process | undefined; shop: Workshop | undefined }[] = [];
  let earlier: RedisData | undefined;
  /** The moments at which faults are worst: right after a step is done. */
  const onStep = (step: Step): void => {
    sim.note(`step ${step}`);
    const me = sim.current;
    if (!me || !sim.chance(sim.faults.strike)) return;
    const fate = sim.random();
    if (step === 'looked up' || step === 'read') earlier = structuredClone(redis.data);
    else if (fate < 0.35) sim.kill(me, `after ${step}`);
    else if (fate < 0.7) sim.freeze(me);
    else if (fate < 0.8) redis.restart(empty(), sim.skewed(50, 8000));
    else if (earlier) redis.restart(structuredClone(earlier), sim.skewed(50, 8000));
  };
  const sit = (seat: (typeof seats)[number], at: number): void => {
    seat.shop = undefined;
    seat.process = begin('w', at % plot.hosts, async () => {
      const shop = await openWorkshop(config, 3, log, { lockMs, stalledMs: lockMs / 2, onStep });
      shop.start();
      seat.shop = shop;
    });
  };
  /** Whoever died is started anew after a while; now and then somebody leaves properly. */
  const supervise = (): void => {
    for (const [at, seat] of seats.entries()) {
      const { process, shop } = seat;
      if (!process || process.dead) {
        if (process) deaths += 1;
        sit(seat, at);
      } else if (shop && sim.chance(sim.faults.kill) && process.frozenUntil <= sim.now) {
        sim.note('leaves', process);
        seat.shop = undefined;
        sim.begin(process, async () => {
          await shop.close(10_000);
          sim.kill(process, 'as it should');
        });
      }
    }
    sim.after(undefined, sim.skewed(500, 20_000), supervise);
  };
  for (let at = 0; at < plot.workers; at++) seats.push({ process: undefined, shop: undefined });
  supervise();

  const expect = (isSo: () => boolean, atMostMs: number, what: string): Promise<void> =>
    sim
      .until(() => bug !== undefined || checks.failure() !== undefined || isSo(), atMostMs, what)
      .then(() => {
        if (bug) throw bug as Error;
        const failure = checks.failure();
        if (failure) throw failure;
      });

  const pass = async (ms: number): Promise<void> => {
    const end = sim.now + ms;
    sim.after(undefined, ms, () => undefined);
    await expect(() => sim.now >= end, ms + 1000, 'time passes');
  };

  /** A command plans the run. @returns the run's id; undefined: it died over it, or was refused */
  const command = async (round: Round): Promise<string | undefined> => {
    const found: { run?: string } = {};
    const process = begin('s', 0, async () => {
      const draft = createDraft();
      for (const row of round.rows) draft.add(row);
      const desks = await world.openDesks();
      const output = await openOutput(outputUri);
      const checked = { manifest: { columns: [], retry: false, notes: [] }, draft };
      try {
        await desks.accounts.probe();
        const planned = await planRun(checked, output, orderOf(round, plot), desks);
        sim.note(`run ${planned?.run} is ${planned?.how}`);
        if (planned) found.run = planned.run;
      } catch (error) {
        if (!(error instanceof UsageError)) throw error;
        sim.note(`refused: ${error.message}`);
      } finally {
        draft.close();
      }
      sim.kill(process, 'as it should');
    });
    await expect(() => process.dead, 3_600_000, 'the command that plans ends');
    return found.run;
  };
  const submit = async (round: Round): Promise<string> => {
    for (let tries = 0; tries < 40; tries += 1) {
      const run = await command(round);
      if (run !== undefined) return run;
      await pass(10_000);
    }
    throw new Error('a run can not be planned');
  };

  for (const [at, round] of plot.rounds.entries()) {
    sim.note(`ROUND ${at + 1}: ${JSON.stringify({ ...round, rows: undefined })}`, undefined);
    const isCalm = round.stormMs === 0;
    sim.faults = round.faults;
    api.behave(round.manners, round.slowestMs);
    const before = api.log.length;
    const run = await submit(round);
    checks.onRun(run, round);
    const isEnded = (): boolean => disk.files.has(`.reshoot/runs/${run}/end.json`);
    const until = sim.now + round.stormMs;
    for (let i = 0; i < round.losses; i++) {
      sim.after(undefined, sim.between(0, round.stormMs), () => {
        if (sim.chance(0.6)) redis.loseLast(sim.skewed(10, 8000), sim.skewed(50, 8000));
        else redis.restart(empty(), sim.skewed(50, 8000));
      });
    }
    sim.after(undefined, round.stormMs, () => undefined);
    await expect(() => isEnded() || sim.now >= until, round.stormMs + 1000, 'the storm is over');
    if (round.isAbandoned && !isEnded()) {
      for (const { process } of seats) if (process) sim.kill(process, 'with all others');
      redis.restart(empty(), 10);
      sim.note('ABANDONED', undefined);
      continue;
    }
    if (!isCalm) sim.note('CALM', undefined);
    sim.faults = noFaults;
    api.behave({ ...goodManners }, 1500);
    for (let tries = 0; !isEnded(); tries += 1) {
      const next = sim.now + 240_000;
      sim.after(undefined, 240_000, () => undefined);
      await expect(() => isEnded() || sim.now >= next, 250_000, 'time passes');
      if (isEnded()) break;
      if (tries > 5) throw new Error(`run ${run} does not end`);
      // Redis may have lost it while nobody watched over it.
      const same = await submit(round);
      if (same !== run) throw new Error(`run ${run} was lost: the same command began run ${same}`);
    }
    // Answers may yet come that the run did not wait for, and their calls are closed then.
    await expect(() => api.isQuiet(), 1_000_000, 'nothing is in flight');
    await pass(1000);
    checks.onEnd(run, round);
    const made = api.log.length - before;
    if (at === plot.rounds.length - 1 && made > 0)
      throw new Error(`a second complete run made ${made} calls`);
  }
  return { calls: api.log.length, points: sim.points, virtualMs: sim.now, deaths };
}

function orderOf(round: Round, { limit, windowMs, timeoutMs }: Plot): PlanOrder {
  return {
    file: 'goods.csv',
    maxAttempts: round.maxAttempts,
    maxCredits: round.cap,
    // Of the rows chosen, and ten more.
    retryBudget: ((round.budget - 10 + 0.01) / round.rows.length) * 100,
    onUnknown: round.onUnknown,
    force: round.force,
    callsPerWindow: limit,
    windowMs,
    origin,
    haltShare: undefined,
    dayCap: round.dayCap === undefined ? undefined : { credits: round.dayCap, timeZone: 'UTC' },
    timeoutMs,
    pictures: { maxSide: undefined, strict: false },
    submitted: true,
    stop: new AbortController().signal,
  };
}

function logOf(sim: Scheduler): Log {
  const say =
    (level: string) =>
    (what: object, text = ''): void => {
      if (sim.isTraced) sim.note(`${level}: ${text} ${JSON.stringify(what)}`);
    };
  return { debug: () => undefined, info: say('info'), warn: say('warn'), error: say('error') } as never;
}
