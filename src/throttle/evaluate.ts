import type { Redis } from 'ioredis';
import { kindOf } from './keys.ts';
import { paidKey } from './scripts.ts';

/**
 * Runs a script of ours. Where somebody has put something else at one of its keys, that is removed: what stood there
 * was lost before, which the script can deal with.
 */
export async function evaluate(
  redis: Redis,
  script: string,
  keys: string[],
  ...args: (string | number)[]
): Promise<unknown> {
  const run = (): Promise<unknown> => redis.eval(script, keys.length, ...keys, ...args);
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof Error && error.message.includes('WRONGTYPE'))) throw error;
    for (const key of keys.flatMap((name) => [name, paidKey(name)])) {
      const kind = await redis.type(key);
      if (kind !== 'none' && kind !== kindOf(key)) await redis.del(key);
    }
    return run();
  }
}
