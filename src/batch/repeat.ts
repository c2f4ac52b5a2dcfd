import { toError } from '../errors.ts';
import type { Log } from '../log.ts';

export interface Repeated {
  /** Resolves when the round that is on is over; there is no other. */
  stop(): Promise<void>;
}

/** Does the work again and again, each time this long after the last was done; where it fails the log says so. */
export function repeat(ms: number, work: () => Promise<void>, log: Log): Repeated {
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
