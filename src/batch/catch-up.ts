import { rm } from 'node:fs/promises';
import type { Log } from '../log.ts';
import type { Row } from '../model.ts';
import { isSame, livesHere, self, type Owner } from '../owner.ts';
import { callId, isCopy, type Call } from '../records/call.ts';
import { book } from './book.ts';
import type { Throttle } from '../throttle/throttle.ts';
import type { Caller } from './call.ts';
import { overAt } from './in-flight.ts';
import { spoolFiles } from './keep.ts';
import type { Output } from './output.ts';

/**
 * The row's calls, with what others left behind cleared up, dead or unable to finish it: a finished answer is adopted,
 * a lost call's credit counts as unknown. Undefined: a living process has a call of this row in flight.
 * @param named a row whose name an answer gets that doesn't know its own
 */
export type CatchUp = (run: string, id: string, output: Output, named: Row) => Promise<Call[] | undefined>;

export interface CatchUpOptions {
  caller: Caller;
  throttle: Throttle;
  /** May the process that opened a call still live, as far as anybody knows? */
  lives: (owner: Owner) => boolean;
  log: Log;
}

/** @param inFlight calls that this process is about to make, or makes */
export function createCatchUp(
  { caller, throttle, lives, log }: CatchUpOptions,
  inFlight: ReadonlySet<string>,
): CatchUp {
  /** May its process still bring it to an end? */
  const isInFlight = async (run: string, call: Call, output: Output): Promise<boolean> => {
    if (isSame(call.owner, self)) return inFlight.has(callId(call));
    if (!lives(call.owner)) return false;
    // Somebody may have thrown an earlier run away.
    const sentBy = await output.runs.read(call.run).catch(() => output.runs.read(run));
    return Date.now() < overAt(call, sentBy);
  };

  return async (run, id, output, named) => {
    const calls = await output.calls.story(id);
    const caughtUp: Call[] = [];
    for (const call of calls) {
      if (call.closed) {
        // Its process may have died between the record and the books; what is booked already stays as it is.
        if (call.run === run && !isCopy(call)) await book(throttle, call);
        caughtUp.push(call);
        continue;
      }
      if (await isInFlight(run, call, output)) {
        log.info(
          { id, n: call.n, pid: call.owner.pid },
          'a living process has this call in flight: waiting for it',
        );
        return undefined;
      }
      const { part } = spoolFiles(output.storage, call);
      // Somebody may live on, unheard elsewhere, and still be writing it.
      if (isSame(call.owner, self) || livesHere(call.owner) === false) await rm(part, { force: true });
      const name = id === named.id ? named.output : (call.output ?? named.output);
      const adopted = await caller.adopt(output, { output: name }, call);
      if (call.run === run) await book(throttle, adopted);
      caughtUp.push(adopted);
    }
    return caughtUp;
  };
}
