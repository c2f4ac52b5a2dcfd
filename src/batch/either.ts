import { setMaxListeners } from 'node:events';

/**
 * Runs the work with a signal that either of the two aborts. What `AbortSignal.any` makes of a signal that outlives it
 * leaves an entry there for ever (nodejs/node#55351): here nothing stays behind when the work is over.
 */
export async function withEither<T>(
  brief: AbortSignal,
  lasting: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const either = new AbortController();
  const signals = [brief, lasting];
  const stop = ({ target }: Event): void => either.abort((target as AbortSignal).reason);
  // One signal stops all jobs of a process; Node would take the eleventh for a leak.
  setMaxListeners(0, ...signals);
  const aborted = signals.find((signal) => signal.aborted);
  if (aborted) either.abort(aborted.reason);
  for (const signal of signals) signal.addEventListener('abort', stop);
  try {
    return await work(either.signal);
  } finally {
    for (const signal of signals) signal.removeEventListener('abort', stop);
  }
}
