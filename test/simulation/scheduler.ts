import type { Owner } from '../../src/owner.ts';

/** A process of the simulated world: real code that runs until the scheduler says otherwise. */
export interface Process {
  readonly name: string;
  readonly owner: Owner;
  dead: boolean;
  /** Until then, in virtual milliseconds, nothing of it goes on. */
  frozenUntil: number;
}

/** How likely it is, whenever a process asks something of its surroundings, that … */
export interface Faults {
  /** … it dies, before it is done or after. */
  kill: number;
  /** … it stands still for a while, before it is done or after. */
  freeze: number;
  /** … it takes long. */
  slow: number;
  /** … Redis does it, and the connection breaks before the reply, so that it is asked again. */
  lostReply: number;
  /** How likely it is at each step of a call's way that just then something happens to its process or to Redis. */
  strike: number;
}

export const noFaults: Faults = { kill: 0, freeze: 0, slow: 0, lostReply: 0, strike: 0 };

/** Numbers in [0, 1) that a seed decides: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

interface Event {
  at: number;
  order: number;
  process: Process | undefined;
  go: () => void;
}

export type Scheduler = ReturnType<typeof createScheduler>;

const never = new Promise<never>(() => undefined);
const { setImmediate } = globalThis;
/** All that follows from one event without another is done when this resolves. */
const drained = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** Virtual time began then. */
const epochMs = Date.UTC(2026, 0, 5, 8);

/**
 * The world's time and chance. Of all that could happen next one event happens, with all that follows from it at once;
 * which, and when, the seed decides, so that it decides the whole history.
 * @param trace is told what happens; undefined: nobody listens
 */
export function createScheduler(random: () => number, trace?: (line: string) => void) {
  const heap: Event[] = [];
  let orders = 0;
  let now = 0;
  let current: Process | undefined;
  let faults = noFaults;
  let points = 0;

  const push = (event: Event): void => {
    let at = heap.push(event) - 1;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(event, heap[above]!)) break;
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = event;
  };
  const pop = (): Event | undefined => {
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below += 1;
      if (isBefore(last, heap[below]!)) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = last;
    return first;
  };

  const after = (process: Process | undefined, ms: number, go: () => void): Event => {
    const event = { at: now + Math.max(0, ms), order: (orders += 1), process, go };
    push(event);
    return event;
  };
  const note = (what: string, who = current): void => {
    trace?.(`${(now / 1000).toFixed(3).padStart(9)}  ${(who?.name ?? '').padEnd(6)} ${what}`);
  };
  const kill = (process: Process, why: string): void => {
    if (process.dead) return;
    process.dead = true;
    note(`DIES ${why}`, process);
  };
  const between = (least: number, most: number): number => least + random() * (most - least);
  /** Mostly near the least, now and then near the most. */
  const skewed = (least: number, most: number): number => least * (most / least) ** random();
  const freeze = (process: Process): void => {
    const ms = skewed(500, 90_000);
    process.frozenUntil = Math.max(process.frozenUntil, now + ms);
    note(`FREEZES for ${(ms / 1000).toFixed(1)} s`, process);
  };

  /**
   * The process asks something of its surroundings: here others may go on, and here it may die or stand still.
   * @param notBefore when it can be done at the earliest
   */
  const ask = <T>(what: string, effect: () => T, notBefore?: () => number): Promise<T> => {
    const me = current;
    if (!me) return attempt(effect);
    if (me.dead) return never;
    points += 1;
    const fate = random();
    if (fate < faults.kill) {
      if (random() < 0.5 && (notBefore?.() ?? 0) <= now) void attempt(effect).catch(() => undefined);
      kill(me, `over: ${what}`);
      return never;
    }
    let delay = me.frozenUntil <= now && random() < 0.7 ? 0 : between(0.1, 4);
    let early: Promise<T> | undefined;
    if (fate < faults.kill + faults.freeze) {
      freeze(me);
      if (random() < 0.5 && (notBefore?.() ?? 0) <= now) early = attempt(effect);
      early?.catch(() => undefined);
      delay = 1;
    } else if (fate < faults.kill + faults.freeze + faults.slow) {
      delay = skewed(20, 5000);
    }
    if (delay === 0 && (notBefore?.() ?? 0) <= now) return attempt(effect);
    return new Promise<T>((resolve, reject) => {
      const go = (): void => {
        const earliest = notBefore?.() ?? 0;
        if (earliest > now && !early) after(me, earliest - now + between(0.1, 4), go);
        else (early ?? attempt(effect)).then(resolve, reject);
      };
      after(me, delay, go);
    });
  };

  return {
    random,
    between,
    skewed,
    after,
    note,
    kill,
    freeze,
    ask,
    get now() {
      return now;
    },
    /** Epoch milliseconds. */
    get wall() {
      return epochMs + now;
    },
    get current() {
      return current;
    },
    /** How often anybody has asked anything. */
    get points() {
      return points;
    },
    get faults() {
      return faults;
    },
    set faults(next: Faults) {
      faults = next;
    },
    chance: (share: number): boolean => share > 0 && random() < share,
    isTraced: trace !== undefined,
    /** Waits as the current process does, which may be frozen when it is over. */
    wait(ms: number): Promise<void> {
      const me = current;
      return me?.dead ? never : new Promise((resolve) => void after(me, ms, resolve));
    },
    /** Begins something in the process's name. */
    begin(process: Process, work: () => Promise<void>): void {
      after(process, 0, () => {
        work().catch((error: unknown) => {
          if (!process.dead) throw error;
        });
      });
    },
    cancel(event: Event): void {
      event.go = () => undefined;
    },
    /** @throws Error when it is not so after that much virtual time */
    async until(isSo: () => boolean, atMostMs: number, what: string): Promise<void> {
      const last = now + atMostMs;
      while (!isSo()) {
        const event = pop();
        if (!event || event.at > last) {
          if (event) push(event);
          throw new Error(`after ${Math.round(atMostMs / 1000)} s still not so: ${what}`);
        }
        now = Math.max(now, event.at);
        const { process } = event;
        if (process?.dead) continue;
        if (process && process.frozenUntil > now) {
          push({ ...event, at: process.frozenUntil });
          continue;
        }
        current = process;
        event.go();
        await drained();
        current = undefined;
      }
    },
  };
}

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

function attempt<T>(effect: () => T): Promise<T> {
  try {
    return Promise.resolve(effect());
  } catch (error) {
    return Promise.reject(error);
  }
}
