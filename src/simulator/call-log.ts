import type { Route } from '../model.ts';

/** A call as the simulator saw it: the truth about rate and money, to hold a client's records against. */
export interface SimulatedCall {
  /** Its place in the order of arrival, from 1. */
  n: number;
  /** When the limit counted it, in epoch milliseconds with a fraction: as soon as its headers were there, unless told. */
  at: number;
  /** Empty without a valid key. */
  account: string;
  /** 0 where the call was over before its body was read. */
  route: Route | 0;
  /** The caller's process, from a user agent such as `reshoot/1.0.0 (pid 1234)`; else empty. */
  process: string;
  /** The beginning of the prompt; absent where the body was not read. */
  row?: string;
  /** sha256 of the first picture's bytes, or of its address; likewise. */
  reference?: string;
  /** The HTTP status that was sent; 0 where none was. */
  status: number;
  /** `succeeded`, the name of the fault or refusal, `cut_request`, `client_gone`, `stopped`; first `in_flight`. */
  outcome: string;
  charged: boolean;
  /** From its arrival to its answer. */
  ms: number;
}

/** How a call ended. */
type Ending = Pick<SimulatedCall, 'outcome' | 'status' | 'charged'>;

/** The log's hold on a call that is under way. */
export interface Entry {
  call: SimulatedCall;
  /** The call is decided, and stands so in the log before its client can know. A second ending amends the first. */
  settle(ending: Ending): void;
}

export interface CallLog {
  calls: SimulatedCall[];
  inFlight: number;
  peakInFlight: number;
  open(userAgent: string | undefined): Entry;
}

/** Epoch milliseconds with a fraction, never going back. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}

export function createCallLog(): CallLog {
  const log: CallLog = {
    calls: [],
    inFlight: 0,
    peakInFlight: 0,
    open: (userAgent) => {
      const call = newCall(log.calls.length + 1, userAgent);
      log.calls.push(call);
      log.peakInFlight = Math.max(log.peakInFlight, ++log.inFlight);
      return { call, settle: (ending) => settle(log, call, ending) };
    },
  };
  return log;
}

function newCall(n: number, userAgent = ''): SimulatedCall {
  return {
    n,
    at: now(),
    account: '',
    route: 0,
    process: /\(pid (\d+)\)/.exec(userAgent)?.[1] ?? '',
    status: 0,
    outcome: 'in_flight',
    charged: false,
    ms: 0,
  };
}

function settle(log: CallLog, call: SimulatedCall, ending: Ending): void {
  if (call.outcome === 'in_flight') {
    log.inFlight--;
    call.ms = now() - call.at;
  }
  Object.assign(call, ending);
}
