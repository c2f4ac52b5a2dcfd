import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { EditError, toError } from '../errors.ts';
import type { Progress } from './outcome.ts';

/** Called in the order of the wire. */
export interface SendHooks {
  /** Called when the connection stands, right before the request's head is written: what it throws keeps it unwritten. */
  beforeSend?(): void;
  /** The head is being written. Must neither be slow nor throw. */
  onBegin?(): void;
  /** All but the last bytes have left, to all appearances; these wait for the promise, which must not be rejected. */
  beforeEnd?(): Promise<void>;
}

/** One request as it goes out. */
export interface Outgoing {
  origin: string;
  path: string;
  headers: Record<string, string>;
  body: Iterable<Buffer>;
  /** Milliseconds for all of it, from the start of the connect. */
  timeoutMs: number;
  signal: AbortSignal | undefined;
  hooks: SendHooks;
}

/** How it ended; the status is 0 and the headers are empty unless the progress is `answering`. */
export interface Ending {
  progress: Progress;
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** What ended it before the end of the answer, if anything did. */
  broken: Error | undefined;
}

/**
 * Bytes that the system has taken and not yet sent when an upload fills the line: 1.5 MB were measured. As long as they
 * took they take to leave.
 */
const systemHolds = 2 * 1024 * 1024;

/**
 * Sends a request and reads its answer on a connection of its own; never throws. The answer's bytes are handed on in the
 * tick in which they come, since a body that is paused while its server closes brings undici 7 down (nodejs/undici#5360).
 * @param dispatcher fresh, and destroyed at the end
 * @param onData must not throw
 */
export async function exchange(
  dispatcher: Dispatcher,
  outgoing: Outgoing,
  onData: (chunk: Buffer) => void,
): Promise<Ending> {
  const ending: Ending = { progress: 'unsent', status: 0, headers: {}, broken: undefined };
  const over = new AbortController();
  try {
    outgoing.signal?.throwIfAborted();
    await new Promise<void>((resolve, reject) => {
      stopEarly(outgoing, over.signal, reject);
      dispatcher.dispatch(toOptions(outgoing, ending), {
        ...toHandler(outgoing.hooks, ending, onData),
        onResponseEnd: () => resolve(),
        onResponseError: (_controller, error) => reject(error),
      });
    });
  } catch (error) {
    ending.broken = toError(error);
  } finally {
    over.abort();
    void dispatcher.destroy();
  }
  return ending;
}

/** The whole call has one deadline, and one signal of whoever asked for it. */
function stopEarly(
  { timeoutMs, signal }: Outgoing,
  over: AbortSignal,
  stop: (reason: unknown) => void,
): void {
  const late = new DOMException(`no whole answer within ${timeoutMs} ms`, 'TimeoutError');
  const timer = setTimeout(() => stop(late), timeoutMs);
  over.addEventListener('abort', () => clearTimeout(timer));
  if (!signal) return;
  // One signal may stop all calls in flight; Node would take the eleventh for a leak.
  setMaxListeners(0, signal);
  signal.addEventListener('abort', () => stop(signal.reason), { signal: over });
}

function toOptions(
  { origin, path, headers, body, hooks }: Outgoing,
  ending: Ending,
): Dispatcher.DispatchOptions {
  // undici asks for the first block in the tick of `beforeSend`, and for each further one when it has written the one before.
  async function* traced(): AsyncGenerator<Buffer> {
    ending.progress = 'sent';
    hooks.onBegin?.();
    const began = performance.now();
    let bytes = 0;
    let last: Buffer = Buffer.alloc(0);
    for (const block of body) {
      if (last.length > 0) yield last;
      bytes += last.length;
      last = block;
    }
    if (bytes === 0) {
      // The head leaves with the first bytes: not after the wait.
      yield last.subarray(0, -1);
      last = last.subarray(-1);
    }
    if (bytes > systemHolds) await sleep((performance.now() - began) * (systemHolds / bytes));
    await hooks.beforeEnd?.();
    yield last;
  }
  // undici takes iterables, its types do not say so; a stream would be read ahead, before `beforeSend`.
  return {
    origin,
    path,
    method: 'POST',
    headers,
    body: traced() as AsyncIterable<Buffer> as unknown as Readable,
  };
}

function toHandler(
  hooks: SendHooks,
  ending: Ending,
  onData: (chunk: Buffer) => void,
): Dispatcher.DispatchHandler {
  return {
    onRequestStart(controller) {
      try {
        hooks.beforeSend?.();
      } catch (cause) {
        const { message } = toError(cause);
        controller.abort(
          new EditError('not_sent', `kept back right before it was sent: ${message}`, { cause }),
        );
      }
    },
    onResponseStart(_controller, status, headers) {
      if (status < 200) return;
      Object.assign(ending, { progress: 'answering', status, headers });
    },
    onResponseData(_controller, chunk) {
      onData(chunk);
    },
  };
}
