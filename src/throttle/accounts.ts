import type { Redis } from 'ioredis';
import type { ThrottleKeys } from './keys.ts';
import { slotLifeMs } from './policy.ts';
import { paidKey, seal } from './scripts.ts';
import type { DayCap } from './throttle.ts';

/** An account as its throttle stands, for people to look at. */
export interface Gauge {
  name: string;
  /** Calls of the last five windows, each as milliseconds ago. */
  sent: number[];
  /** Calls it may make in a window at present. */
  limit: number;
  /** Milliseconds for which it waits, told to by the API; 0: it doesn't. */
  pausedMs: number;
  /** Why it may not work. */
  parked: string | undefined;
}

/** The accounts as a whole, beside the slots they give. */
export interface Accounts {
  gauges(): Promise<Gauge[]>;
  /**
   * May any of them work now or soon?
   * @param day what each may spend on this day; undefined: as much as it has
   */
  mayWork(day: DayCap | undefined): Promise<boolean>;
  /** Parked accounts are tried again, each with one call. */
  probe(): Promise<void>;
}

/** Says of the logs in a Redis of the user's own that they are whole: it is stopped properly, and keeps what it has. */
export async function sealLogs(redis: Redis): Promise<void> {
  await redis.eval(seal, 0);
}

export function createAccounts(
  redis: Redis,
  keys: ThrottleKeys,
  names: string[],
  limit: number,
  windowMs: number,
): Accounts {
  const gauge = async (name: string, now: number): Promise<Gauge> => {
    const [paused, cap, parked] = await redis.hmget(keys.state(name), 'paused', 'cap', 'parked');
    const log = await redis.zrange(keys.log(name), `(${now - 5 * windowMs}`, '+inf', 'BYSCORE', 'WITHSCORES');
    return {
      name,
      sent: log.flatMap((score, at) => (at % 2 === 1 ? [now - Number(score)] : [])),
      limit: Math.min(limit, Number(cap ?? limit)),
      pausedMs: Math.max(0, Number(paused ?? 0) - now),
      parked: parked ?? undefined,
    };
  };
  return {
    async gauges() {
      const [seconds, micros] = await redis.time();
      const now = Number(seconds) * 1000 + Number(micros) / 1000;
      return Promise.all(names.map((name) => gauge(name, now)));
    },
    async mayWork(day) {
      for (const name of names) {
        if (await redis.hexists(keys.state(name), 'parked')) continue;
        if (!day) return true;
        // As it is counted where slots are given.
        const since = day.began() - slotLifeMs(windowMs);
        if ((await redis.zcount(paidKey(keys.log(name)), since, '+inf')) < day.credits) return true;
      }
      return false;
    },
    async probe() {
      // An account that was refused when the last run ended has not been refusing ever since.
      for (const name of names) await redis.hdel(keys.state(name), 'probed', 'refusing');
    },
  };
}
