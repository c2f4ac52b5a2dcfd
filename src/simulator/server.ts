import { once, setMaxListeners } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { refusalAnswer } from './answer.ts';
import { createCallLog, type CallLog, type Entry, type SimulatedCall } from './call-log.ts';
import { createDesk, type Desk, type DeskOptions, type Verdict } from './desk.ts';
import { Refusal } from './refusal.ts';
import { deliver } from './transport.ts';

export interface SimulatorOptions extends DeskOptions {
  /** 0, the default: any free one. */
  port?: number;
  /** Told of every call when it has ended, its answer delivered or not. */
  onCall?: (call: SimulatedCall) => void;
}

/** A server that keeps the rules of the API's page and says by `calls` what it did. */
export interface Simulator {
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  /** In order of arrival; a call's entry is completed when it ends, just before its answer goes out. */
  readonly calls: SimulatedCall[];
  readonly inFlight: number;
  readonly peakInFlight: number;
  /** Ends every call and connection. */
  close(): Promise<void>;
}

/**
 * The API, simulated on 127.0.0.1. Its pictures aren't the model's, and what a tier comes to in pixels is assumed.
 * A key is `sk_live_<account>` or `sk_live_<account>-<anything>`.
 * @throws the system's error when the port cannot be had
 */
export async function startSimulator(options: SimulatorOptions = {}): Promise<Simulator> {
  const log = createCallLog();
  const stop = new AbortController();
  // Every call that waits listens to it.
  setMaxListeners(0, stop.signal);
  const running = new Set<Promise<void>>();
  const handle = createHandler(log, createDesk(options), stop.signal, options.onCall);
  const server = createServer((request, response) => {
    const call = handle(request, response).finally(() => running.delete(call));
    running.add(call);
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    calls: log.calls,
    get inFlight() {
      return log.inFlight;
    },
    get peakInFlight() {
      return log.peakInFlight;
    },
    close: async () => {
      stop.abort();
      server.close();
      server.closeAllConnections();
      await Promise.allSettled(running);
    },
  };
}

type Handler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

function createHandler(
  log: CallLog,
  desk: Desk,
  stop: AbortSignal,
  onCall: SimulatorOptions['onCall'],
): Handler {
  return async (request, response) => {
    const entry = log.open(request.headers['user-agent']);
    // A client that goes away is an outcome, which the socket's state tells.
    response.on('error', () => {});
    try {
      await answer(request, response, entry, await judge(desk, request, entry, stop));
    } catch (error) {
      if (!stop.aborted && error !== request.errored) throw error;
      entry.settle({ outcome: stop.aborted ? 'stopped' : 'cut_request', status: 0, charged: false });
    }
    onCall?.(entry.call);
  };
}

async function judge(
  desk: Desk,
  request: IncomingMessage,
  entry: Entry,
  stop: AbortSignal,
): Promise<Verdict> {
  try {
    return await desk(request, entry.call, stop);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return { reply: refusalAnswer(error), outcome: error.outcome, charged: false };
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  entry: Entry,
  { reply, outcome, charged }: Verdict,
): Promise<void> {
  const status = typeof reply === 'string' || request.socket.destroyed ? 0 : reply.status;
  if (reply !== 'hang') entry.settle({ outcome, status, charged });
  const delivered = await deliver(request, response, reply);
  entry.settle({ outcome: delivered ? outcome : 'client_gone', status, charged });
}
