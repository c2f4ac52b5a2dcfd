import { callId, chargeOf, type Call } from '../records/call.ts';
import type { Throttle } from '../throttle/throttle.ts';

/** Gives back or counts the credit that a call of another process still holds; what is booked already stays as it is. */
export async function book(throttle: Pick<Throttle, 'settle'>, call: Call): Promise<void> {
  const slot = { run: call.run, call: callId(call), account: call.account };
  const sent = call.closed?.error_code !== 'not_sent';
  await throttle.settle(slot, { charged: chargeOf(call), unusable: undefined, answered: false, sent });
}
