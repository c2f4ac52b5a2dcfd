import { totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type ClientOptions } from '../api/client.ts';
import { version, type Config } from '../config.ts';
import { toError, UsageError } from '../errors.ts';
import { createPreparer } from '../image/preparer.ts';
import { createVerifier } from '../image/verify.ts';
import type { Log } from '../log.ts';
import { withDeadline } from '../queue/connect.ts';
import type { Offer } from '../queue/presence.ts';
import { startQueueWorker, type QueueWorker } from '../queue/worker.ts';
import { createAccounts } from '../throttle/accounts.ts';
import { concurrency } from '../throttle/policy.ts';
import { createThrottle } from '../throttle/throttle.ts';
import { createCaller } from './call.ts';
import { openDesks, type Desks } from './desks.ts';
import { createEditor } from './edit.ts';
import { createFeeder } from './feed.ts';
import { createInputReader } from './input.ts';
import { createJobs } from './jobs.ts';
import { joinLiving } from './living.ts';
import { createMender } from './mend.ts';
import { createSweep } from './sweep.ts';
import type { Output } from './output.ts';
import { createOutputs } from './outputs.ts';
import { repeat, type Repeated } from './repeat.ts';
import { expectSoundRedis } from './sound-redis.ts';
import type { Step } from './steps.ts';
import { createEarlyThumbs } from './thumbs.ts';

/** What tests and measurements bend; nobody else. */
export interface Tuning {
  guardMs?: number;
  /** False: slots are not stamped when the request leaves. */
  stamps?: boolean;
  lockMs?: number;
  stalledMs?: number;
  /** Room that each call in flight must find on the disk. */
  answerBytes?: number;
  connect?: ClientOptions['connect'];
  onStep?: (step: Step) => void;
}

/** What of the surroundings answers: for commands that give up after a while. `performance.now()` values. */
interface Health {
  /** Redis last answered then. */
  redisAt: number;
  /** Since then every call failed before it was sent, the last one then; undefined: the last one arrived. */
  apiGone: { since: number; until: number } | undefined;
  /** The own run's disk or the decoder failed: no further call is made here. */
  fault: Error | undefined;
}

/** A process that works: everything behind its queue, put together. */
export interface Workshop extends Desks {
  health(): Health;
  /** What is worrying about Redis, for its user to mend one day. */
  worries: string[];
  /**
   * Begins to work: not before this process has said what it wants done, lest it works on what that replaces.
   * @param own the run that this process is there for: where its output fails there is nothing left to do here
   */
  start(own?: { run: string; output: Output }): void;
  /** Jobs this process has in hand. */
  busy(): number;
  /** Is there a run that this process could work on, or a job in hand? */
  hasWork(): Promise<boolean>;
  /** Runs that this process gave up, since their outputs fail. */
  failed(): string[];
  /** Calls that all processes together have in flight at most, as far as this one can tell. */
  capacity(): number;
  /** Makes no further call for other runs than this one. */
  keepTo(run: string): void;
  /** Is Redis silent, and nothing in flight here? Then whoever stops has nothing to wait for. */
  isCutOff(): Promise<boolean>;
  /** Finishes what is in flight and leaves; `atMostMs` bounds it, and a Redis that is silent then. */
  close(atMostMs: number): Promise<void>;
}

/** A process whose accounts are all parked leaves the rows to others for this long. */
const leaveToOthersMs = 30_000;
/** Whoever stops waits no longer for Redis. */
const byeMs = 3000;
const feedMs = 500;
const beatMs = 5000;
/** Rows whose pictures are held in memory ahead of the throttle: at most 8 MB each, mostly much less. */
const rowsAhead = 12;

/**
 * Opens Redis, agrees on the limit, and gets ready to work on whatever run there is.
 * @param calls in flight at most; undefined: as many as use the limit
 * @throws UsageError without a key, or when living processes use another limit
 * @throws SurroundingsError when Redis does not answer, or can't be trusted with money
 */
export async function openWorkshop(
  config: Config,
  calls: number | undefined,
  log: Log,
  tuning: Tuning = {},
): Promise<Workshop> {
  if (config.accounts.length === 0) throw new UsageError(noKey);
  const { namespace, rateLimit: limit, rateWindowMs: windowMs, baseUrl: origin } = config;
  const accounts = config.accounts.map(({ name }) => name);
  const desks = await openDesks(config, log);
  const { redis, keys, desk, ledger } = desks;
  const worries = await agree(desks, config).catch(async (error: unknown) => {
    await desks.leave();
    throw error;
  });
  const living = await joinLiving(desk, { accounts, origin, only: undefined, without: [] });
  const { lives } = living;
  // Nobody else is alive on the user's own Redis: what stands on its desk was left by the dead.
  if (living.isAlone() && config.redisUrl === undefined) await desk.clear();

  const outputs = createOutputs(origin, log);
  const { mend, mendAll } = createMender(desks, outputs, windowMs, lives);
  const { guardMs } = tuning;
  const throttle = createThrottle({ redis, keys, accounts, limit, windowMs, guardMs, mend });
  let worker: QueueWorker | undefined;
  let feeding: Repeated | undefined;
  let latencyMs: number | undefined;
  let apiGone: Health['apiGone'];

  const verifier = createVerifier();
  const preparer = createPreparer({ processes: 2 });
  const { connect } = tuning;
  const caller = createCaller({
    keys: new Map(config.accounts.map(({ name, key }) => [name, key])),
    client: createClient({ baseUrl: origin, proxy: config.proxy, version, ...(connect && { connect }) }),
    verifier,
    throttle: tuning.stamps === false ? { ...throttle, stamp: () => Promise.resolve() } : throttle,
    ledger,
    onCall(ms) {
      const now = performance.now();
      apiGone = ms === undefined ? { since: apiGone?.since ?? now, until: now } : undefined;
      // The mean of about the last thirty calls.
      if (ms !== undefined) latencyMs = latencyMs === undefined ? ms : latencyMs + (ms - latencyMs) / 30;
    },
    onStep: tuning.onStep,
    log,
  });
  const thumbs = createEarlyThumbs();
  const edit = createEditor({
    origin,
    caller,
    throttle,
    ledger,
    desk,
    inputs: createInputReader(rowsAhead, preparer),
    lives,
    async othersMayWork(run, day) {
      const others = (await desk.accounts(run)).filter((name) => !accounts.includes(name));
      const may = await createAccounts(redis, keys, others, limit, windowMs).mayWork(day);
      if (may) await worker?.rest(leaveToOthersMs);
      return may;
    },
    onKept: ({ storage }, row, call) => thumbs.add(storage, row, call),
    onStep: tuning.onStep,
    answerBytes: tuning.answerBytes,
    random: Math.random,
    log,
  });
  const jobs = createJobs({ desk, ledger, outputs, edit, log });
  const ahead = 2 * limit * accounts.length;
  const feeder = createFeeder({ ...desks, ahead, findOutput: outputs.find, log });

  const share = (): number =>
    calls ??
    concurrency({
      limit,
      windowMs,
      accounts: accounts.length,
      processes: living.count(),
      latencyMs,
      memoryBytes: totalmem() / 4,
    });
  const offer = async (): Promise<Offer> => ({
    accounts: jobs.fault() ? [] : accounts,
    origin,
    only: jobs.only(),
    without: (await desk.runs()).flatMap(({ run }) =>
      outputs.isUnseen(run) || jobs.aside.has(run) ? [run] : [],
    ),
  });
  const sweep = createSweep({ desk, ledger, throttle }, outputs);
  const beating = repeat(
    beatMs,
    async () => {
      await living.beat(await offer());
      await mendAll();
      await sweep();
      worker?.setConcurrency(share());
    },
    log,
  );
  const isCutOff = async (): Promise<boolean> => {
    const isSilent = await withDeadline(redis.ping(), byeMs).then(
      () => false,
      () => true,
    );
    return isSilent && caller.inFlight() === 0;
  };

  return {
    ...desks,
    health: () => ({ redisAt: living.heardAt(), apiGone, fault: jobs.fault() }),
    worries,
    capacity: () => share() * living.count(),
    start(own) {
      if (own) {
        jobs.own(own.run);
        outputs.know(own.run, own.output);
      }
      const { lockMs, stalledMs } = tuning;
      const { work } = jobs;
      worker = startQueueWorker({ redis, namespace, concurrency: share(), lockMs, stalledMs, log, work });
      feeding = repeat(feedMs, () => feeder.feed(), log);
    },
    busy: () => worker?.busy() ?? 0,
    async hasWork() {
      if ((worker?.busy() ?? 0) > 0) return true;
      for (const run of await desk.runs()) {
        const here = !jobs.aside.has(run.run) && !feeder.isStuck(run.run) && (await outputs.find(run));
        if (here && (await ledger.state(run.run))?.state !== 'paused') return true;
      }
      return false;
    },
    failed: () => [...jobs.aside],
    isCutOff,
    keepTo: (run) => jobs.keepTo(run),
    async close(atMostMs) {
      let isOver = false;
      const closed = (async () => {
        // Together: without Redis the first never ends, and the second takes away what is not sent.
        await Promise.all([feeding?.stop(), worker?.close()]);
        await beating.stop();
        await feeder.close();
        await desk.leave();
        isOver = true;
        await desks.leave();
      })();
      const cutOff = async (): Promise<void> => {
        for (;;) {
          const isCut = await isCutOff();
          if (isOver) return closed;
          if (isCut) throw new Error('Redis does not answer');
          await sleep(500, undefined, { ref: false });
        }
      };
      await withDeadline(Promise.race([closed, cutOff()]), atMostMs).catch((error: unknown) => {
        log.warn({ error: toError(error).message }, 'left without a proper goodbye');
        redis.disconnect();
      });
      await verifier.close();
      await preparer.close();
      await thumbs.close();
    },
  };
}

/** Is Redis to be trusted with money, and is the limit that of everybody who works? @returns what is worrying about it */
async function agree(desks: Desks, { redisUrl, rateLimit, rateWindowMs }: Config): Promise<string[]> {
  // The private one was set up by us, on this machine.
  const worries = redisUrl === undefined ? [] : await expectSoundRedis(desks);
  await desks.desk.agree(rateLimit, rateWindowMs);
  return worries;
}

const noKey =
  'no API key: set SPIDERHUBS_API_KEY (or SPIDERHUBS_API_KEY_FILE, or SPIDERHUBS_API_KEYS) in the environment or in .env';
