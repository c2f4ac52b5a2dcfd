import type { Throttle } from '../throttle/throttle.ts';
import { book } from './book.ts';
import type { Desks } from './desks.ts';
import { overAt, overMs } from './in-flight.ts';
import type { Outputs } from './outputs.ts';

/**
 * Counts or gives back the credits of calls that are over for certain and that no row's work will ever look at: books
 * that were made again may hold such a call as if it were in flight, and the run would wait for it for ever.
 */
export function createSweep(
  { desk, ledger, throttle }: Pick<Desks, 'desk' | 'ledger'> & { throttle: Pick<Throttle, 'settle'> },
  outputs: Outputs,
): () => Promise<void> {
  return async () => {
    for (const { run } of await desk.runs()) {
      const output = outputs.of(run);
      if (!output || (await ledger.spent(run)).open === 0) continue;
      const facts = await output.runs.read(run);
      for (const name of await ledger.lingering(run, overMs(facts))) {
        const call = await output.calls.named(name);
        if (!call || call.run !== run || (!call.closed && Date.now() < overAt(call, facts))) continue;
        await book(throttle, call);
      }
    }
  };
}
