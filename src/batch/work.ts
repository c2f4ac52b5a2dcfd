import { totalmem } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type ClientOptions } from '../api/client.ts';
import { version, type Config } from '../config.ts';
import { SurroundingsError, toError, UsageError } from '../errors.ts';
import { createVerifier } from '../image/verify.ts';
import type { Log } from '../log.ts';
import { isSame, livesHere, self, type Owner } from '../owner.ts';
import { withDeadline } from '../queue/connect.ts';
import type { Job } from '../queue/job.ts';
import { heartbeatLifeMs, type Offer } from '../queue/presence.ts';
import { startQueueWorker, type JobResult, type JobState, type QueueWorker } from '../queue/worker.ts';
import { createAccounts } from '../throttle/accounts.ts';
import { concurrency } from '../throttle/policy.ts';
import { createThrottle } from '../throttle/throttle.ts';
import { createCaller } from './call.ts';
import { openDesks, type Desks } from './desks.ts';
import { createEditor } from './edit.ts';
import { withEither } from './either.ts';
import { createFeeder } from './feed.ts';
import { finishRun } from './finish.ts';
import { createInputReader } from './input.ts';
import type { Output } from './output.ts';
import { createOutputs, type Outputs } from './outputs.ts';
import { booksOf } from './plan.ts';
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
  /** The disk or the decoder failed: no further call is made here. */
  fault: Error | undefined;
}

/** A process that works: everything behind its queue, put together. */
export interface Workshop extends Desks {
  health: Health;
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
/** A job of a run that was given up here is there for others. */
const asideMs = 10_000;
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
  const desks = await openDesks(config, log);
  const { redis, keys, desk, ledger } = desks;
  const verifier = createVerifier();
  const health: Health = { redisAt: performance.now(), apiGone: undefined, fault: undefined };
  const leaving = new AbortController();
  let ownRun: string | undefined;
  let onlyRun: string | undefined;
  const aside = new Set<string>();
  let worries: string[] = [];

  try {
    // The private one was set up by us, on this machine.
    if (config.redisUrl !== undefined) worries = await expectSoundRedis(desks);
    await desk.agree(limit, windowMs);
  } catch (error) {
    await desks.leave();
    throw error;
  }
  const accounts = config.accounts.map(({ name }) => name);
  const offer = (without: string[]): Offer => ({
    accounts: health.fault ? [] : accounts,
    origin,
    only: onlyRun,
    without,
  });
  let living = await desk.beat(offer([]));
  let known = await desk.known();
  const alone = living.every((owner) => isSame(owner, self));
  // Nobody else is alive on the user's own Redis: what stands on its desk was left by the dead.
  if (alone && config.redisUrl === undefined) await desk.clear();

  // After a time without Redis nobody was heard of, so nobody elsewhere is known to be dead; nor is who has another Redis.
  let hearingSince = performance.now();
  const lives = (owner: Owner): boolean =>
    livesHere(owner) ??
    (performance.now() - hearingSince < heartbeatLifeMs ||
      living.some((other) => isSame(other, owner)) ||
      !known.some((other) => isSame(other, owner)));
  const outputs = createOutputs(origin, log);
  const unseen = new Set<string>();
  const findOutput: Outputs['find'] = async (run) => {
    const output = await outputs.find(run);
    if (output) unseen.delete(run.run);
    else unseen.add(run.run);
    return output;
  };
  /** Runs on the desk that this process can't or won't work on. */
  const leftOut = async (): Promise<string[]> =>
    (await desk.runs()).flatMap(({ run }) => (unseen.has(run) || aside.has(run) ? [run] : []));
  const mend = async (run: string): Promise<void> => {
    const output = outputs.of(run);
    if (!output) throw new Error(`the books of run ${run} are lost, and its output isn't known here`);
    const books = await booksOf(output, await output.runs.read(run), windowMs, lives);
    // Who slept while it ended may still have rows of it in hand.
    const isOver = (await output.runs.end(run)) !== undefined;
    await ledger.mend(run, isOver ? { ...books, state: 'cancelled' } : books);
  };
  /** Other runs go by what this one has spent today, so that its books are made again before it needs them itself. */
  const mendAll = async (): Promise<void> => {
    for (const run of await desk.runs()) {
      if (await ledger.isWhole(run.run)) continue;
      const output = await outputs.find(run);
      if (output && !(await output.runs.end(run.run))) await mend(run.run);
    }
  };
  const throttle = createThrottle({
    redis,
    keys,
    accounts,
    limit,
    windowMs,
    guardMs: tuning.guardMs,
    mend,
  });

  let worker: QueueWorker | undefined;
  let feeding: Repeated | undefined;
  let latencyMs: number | undefined;
  const share = (): number =>
    calls ??
    concurrency({
      limit,
      windowMs,
      accounts: config.accounts.length,
      processes: Math.max(1, living.length),
      latencyMs,
      memoryBytes: totalmem() / 4,
    });

  const bent = tuning.stamps === false ? { ...throttle, stamp: () => Promise.resolve() } : throttle;
  const caller = createCaller({
    keys: new Map(config.accounts.map(({ name, key }) => [name, key])),
    client: createClient({
      baseUrl: origin,
      proxy: config.proxy,
      version,
      ...(tuning.connect && { connect: tuning.connect }),
    }),
    verifier,
    throttle: bent,
    ledger,
    onCall(ms) {
      const now = performance.now();
      health.apiGone = ms === undefined ? { since: health.apiGone?.since ?? now, until: now } : undefined;
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
    inputs: createInputReader(rowsAhead),
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

  const finish = async (run: string, output: Output): Promise<JobResult> => {
    // A job that a killed process left behind, of a run that has since been taken up again.
    const { rows } = await output.runs.read(run);
    if ((await desk.progress(run)).settled < rows && !(await output.runs.end(run))) return { is: 'done' };
    const known = await ledger.state(run);
    await finishRun(output, run, known?.stop).catch((error: unknown) => {
      const message = `the report of run ${run} can't be made: ${toError(error).message}`;
      throw new SurroundingsError(message, { cause: error });
    });
    await desk.finish(run, (await output.runs.end(run))?.summary ?? {});
    await ledger.remove(run);
    return { is: 'done' };
  };

  const work = async (job: Job, state: JobState): Promise<JobResult> => {
    const output = await findOutput(job);
    if (!output || health.fault) return { is: 'handed back', afterMs: 1000 };
    if (aside.has(job.run)) return { is: 'handed back', afterMs: asideMs };
    // A run that is over, or that another plan has replaced, of which a dead process still held a job.
    if (!(await desk.has(job.run))) return { is: 'done' };
    if (job.kind === 'finish') return finish(job.run, output);
    if (await output.runs.end(job.run)) {
      // Redis came back with what it knew before the run ended: the feeder winds it up.
      await ledger.cancel(job.run);
      return { is: 'done' };
    }
    if (onlyRun !== undefined && job.run !== onlyRun) return { is: 'handed back', afterMs: 1000 };
    if (job.run === onlyRun) return edit(job, output, state);
    return withEither(state.signal, leaving.signal, (signal) => edit(job, output, { ...state, signal }));
  };

  const workOrFault = async (job: Job, state: JobState): Promise<JobResult> => {
    try {
      return await work(job, state);
    } catch (error) {
      if (!(error instanceof SurroundingsError)) throw error;
      // Trying again would lose paid answers, or make a report that can't be made: somebody must mend it first.
      aside.add(job.run);
      if (job.run === ownRun) health.fault ??= error;
      log.error({ run: job.run, error: error.message }, 'no further call of this run is made here');
      return { is: 'handed back', afterMs: asideMs };
    }
  };

  const ahead = 2 * limit * config.accounts.length;
  const feeder = createFeeder({ ...desks, ahead, findOutput, log });
  const { lockMs, stalledMs } = tuning;
  const beating = repeat(
    beatMs,
    async () => {
      living = await desk.beat(offer(await leftOut()));
      known = await desk.known();
      const now = performance.now();
      if (now - health.redisAt > heartbeatLifeMs / 2) hearingSince = now;
      health.redisAt = now;
      await mendAll();
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
    health,
    worries,
    capacity: () => share() * Math.max(1, living.length),
    start(own) {
      ownRun = own?.run;
      if (own) outputs.know(own.run, own.output);
      worker = startQueueWorker({
        redis,
        namespace,
        concurrency: share(),
        lockMs,
        stalledMs,
        log,
        work: workOrFault,
      });
      feeding = repeat(feedMs, () => feeder.feed(), log);
    },
    busy: () => worker?.busy() ?? 0,
    async hasWork() {
      if ((worker?.busy() ?? 0) > 0) return true;
      for (const run of await desk.runs()) {
        const here = !aside.has(run.run) && !feeder.isStuck(run.run) && (await outputs.find(run));
        if (here && (await ledger.state(run.run))?.state !== 'paused') return true;
      }
      return false;
    },
    failed: () => [...aside],
    isCutOff,
    keepTo(run) {
      onlyRun = run;
      leaving.abort(new Error('this process makes calls for its own run only'));
    },
    async close(atMostMs) {
      let isOver = false;
      const cutOff = async (): Promise<void> => {
        for (;;) {
          const isCut = await isCutOff();
          if (isOver) return closed;
          if (isCut) throw new Error('Redis does not answer');
          await sleep(500, undefined, { ref: false });
        }
      };
      const closed = (async () => {
        // Together: without Redis the first never ends, and the second takes away what is not sent.
        await Promise.all([feeding?.stop(), worker?.close()]);
        await beating.stop();
        await feeder.close();
        await desk.leave();
        isOver = true;
        await desks.leave();
      })();
      await withDeadline(Promise.race([closed, cutOff()]), atMostMs).catch((error: unknown) => {
        log.warn({ error: toError(error).message }, 'left without a proper goodbye');
        redis.disconnect();
      });
      await verifier.close();
      await thumbs.close();
    },
  };
}

const noKey =
  'no API key: set SPIDERHUBS_API_KEY (or SPIDERHUBS_API_KEY_FILE, or SPIDERHUBS_API_KEYS) in the environment or in .env';

interface Repeated {
  /** Resolves when the round that is on is over; there is no other. */
  stop(): Promise<void>;
}

/** Does the work again and again, each time this long after the last was done. */
function repeat(ms: number, work: () => Promise<void>, log: Log): Repeated {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let round = Promise.resolve();
  const next = (): void => {
    round = work()
      .catch((error: unknown) => log.warn({ error: toError(error).message }, 'will try again'))
      .then(() => {
        if (!stopped) timer = setTimeout(next, ms);
      });
  };
  next();
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await round;
    },
  };
}
