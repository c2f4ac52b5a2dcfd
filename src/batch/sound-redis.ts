import { SurroundingsError } from '../errors.ts';
import { inspectRedis, type RedisFacts } from '../queue/inspect.ts';
import type { Desks } from './desks.ts';

/** What is wrong with a Redis. `worry`: it works, and may hurt one day; `bad`: nothing may be sent before it is mended. */
export interface RedisFlaw {
  is: 'worry' | 'bad';
  says: string;
}

const clockMs = 2000;
/** Half of what a call in flight is given beyond its time-out: so far two machines may be off, each to its side. */
const worstClockMs = 30_000;

/** What of a server's settings endangers limit, money or time. */
export function flawsOf({ appendOnly, evictionPolicy, maxMemory, clockAheadMs }: RedisFacts): RedisFlaw[] {
  const flaws: RedisFlaw[] = [];
  const add = (isBad: boolean, says: string): void => void flaws.push({ is: isBad ? 'bad' : 'worry', says });
  if (evictionPolicy !== undefined && evictionPolicy !== 'noeviction')
    add(
      maxMemory > 0,
      `maxmemory-policy is ${evictionPolicy}: once its memory is full it throws away what keeps the limit and the caps; ` +
        'set maxmemory-policy noeviction',
    );
  const off = Math.abs(clockAheadMs);
  if (off > clockMs)
    add(
      off > worstClockMs,
      `its clock is ${(off / 1000).toFixed(1)} s ${clockAheadMs > 0 ? 'ahead of' : 'behind'} this machine's: set both by NTP`,
    );
  if (appendOnly === false)
    add(false, 'no append-only file: what is on the desk is lost when it restarts; set appendonly yes');
  return flaws;
}

/**
 * Looks at a Redis before anything is sent with its help.
 * @returns what is worrying
 * @throws SurroundingsError naming what is bad
 */
export async function expectSoundRedis({ redis }: Pick<Desks, 'redis'>): Promise<string[]> {
  const flaws = flawsOf(await inspectRedis(redis));
  const bad = flaws.filter(({ is }) => is === 'bad').map(({ says }) => says);
  if (bad.length > 0)
    throw new SurroundingsError(
      `this Redis can't be trusted with money: ${bad.join('; ')}. Nothing was sent`,
    );
  return flaws.map(({ says }) => says);
}
