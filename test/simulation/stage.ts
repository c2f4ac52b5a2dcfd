import type { Api } from './api.ts';
import type { Disk } from './disk.ts';
import type { ModelRedis } from './redis.ts';
import type { Scheduler } from './scheduler.ts';
import type { Desks } from '../../src/batch/desks.ts';
import type { Owner } from '../../src/owner.ts';

/** The world that is on: real modules that ask for a disk, a clock or a Redis get it from here. */
export interface World {
  sim: Scheduler;
  disk: Disk;
  redis: ModelRedis;
  api: Api;
  openDesks: () => Promise<Desks>;
  livesHere: (owner: Owner) => boolean | undefined;
}

let on: World | undefined;

export function world(): World {
  if (!on) throw new Error('no history is on');
  return on;
}

export function isOn(): boolean {
  return on !== undefined;
}

const { random } = Math;
const real = { Date, now: performance.now.bind(performance) };
const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis;

class VirtualDate extends Date {
  constructor(...given: [] | [number | string]) {
    if (given.length === 0) super(Math.floor(world().sim.wall));
    else super(given[0]);
  }
  static override now(): number {
    return Math.floor(world().sim.wall);
  }
}

interface Timer {
  stop: () => void;
  unref: () => Timer;
  ref: () => Timer;
}

function timer(ms: number, work: () => void, again: boolean): Timer {
  const { sim } = world();
  const { current } = sim;
  let stopped = false;
  const arm = (): void =>
    void sim.after(current, Math.max(1, ms), () => {
      if (stopped) return;
      if (again) arm();
      work();
    });
  arm();
  const self: Timer = { stop: () => void (stopped = true), unref: () => self, ref: () => self };
  return self;
}

const stop = (set: Timer | undefined): void => set?.stop();

/** Plays something in a world of its own, whose clock and timers are virtual. */
export async function onStage<T>(next: World, play: () => Promise<T>): Promise<T> {
  on = next;
  // Errors are made by the thousand here, and nobody reads where.
  const { stackTraceLimit } = Error;
  if (!next.sim.isTraced) Error.stackTraceLimit = 0;
  globalThis.Date = VirtualDate as DateConstructor;
  performance.now = () => world().sim.now;
  Math.random = world().sim.random;
  globalThis.setTimeout = ((work: () => void, ms = 0) => timer(ms, work, false)) as never;
  globalThis.setInterval = ((work: () => void, ms = 0) => timer(ms, work, true)) as never;
  globalThis.clearTimeout = stop as never;
  globalThis.clearInterval = stop as never;
  try {
    return await play();
  } finally {
    on = undefined;
    globalThis.Date = real.Date;
    performance.now = real.now;
    Math.random = random;
    Error.stackTraceLimit = stackTraceLimit;
    Object.assign(globalThis, { setTimeout, setInterval, clearTimeout, clearInterval });
  }
}

/** `setTimeout` of `node:timers/promises`. */
export function sleep<T>(ms: number, value?: T, { signal }: { signal?: AbortSignal } = {}): Promise<T> {
  const { sim } = world();
  if (sim.current?.dead) return new Promise(() => undefined);
  return new Promise((resolve, reject) => {
    const leave = (): void => {
      reject(Object.assign(new Error('The operation was aborted'), { name: 'AbortError' }));
    };
    if (signal?.aborted) return leave();
    signal?.addEventListener('abort', leave, { once: true });
    sim.after(sim.current, Math.max(1, ms), () => {
      signal?.removeEventListener('abort', leave);
      resolve(value as T);
    });
  });
}

/** The process that is at work, as it knows itself. */
export const self: Owner = {
  get host() {
    return world().sim.current?.owner.host ?? 'outside';
  },
  get pid() {
    return world().sim.current?.owner.pid ?? 0;
  },
  get started() {
    return world().sim.current?.owner.started ?? '0';
  },
};
