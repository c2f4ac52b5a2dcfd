import type { Scene, Violation } from './scene.ts';

/** I11: nothing was written where somebody else's keys may be. */
export function* checkTenants({ redis, namespace }: Scene): Generator<Violation> {
  for (const key of redis.keys())
    if (!key.startsWith(`{${namespace}}:`))
      yield { invariant: 'I11', said: `the key ${key} in Redis is not ours` };
}
