import type { buildConnector } from 'undici';
import { createConnection } from './connection.ts';
import { exchange, type Ending, type SendHooks } from './exchange.ts';
import { classify, fromSystem } from './outcome.ts';
import { createRequestBody, type Order, type RequestBody } from './request-body.ts';
import { createScanner, type ScanResult } from './scanner.ts';
import { openSpool } from './spool.ts';
import type { EditError } from '../errors.ts';

export interface ClientOptions {
  /** The API's origin, or the prefix of its paths, without a trailing slash. */
  baseUrl: string;
  /** An http(s) proxy to reach it through. */
  proxy?: string | undefined;
  /** Of reshoot, for the User-Agent. */
  version: string;
  /** undici's own connector in place of the usual one, for a certificate of one's own; not used with a proxy. */
  connect?: buildConnector.connector;
  /** Milliseconds for the connection, TLS included; 10 s unless told. */
  connectTimeoutMs?: number;
}

/** One call: what is asked, with which key, and where the picture goes. */
export interface EditRequest extends Order, SendHooks {
  key: string;
  /** The file to write the picture's bytes into; must not exist. */
  part: string;
  /** Milliseconds for the whole call, from the start of the connect to the last byte of the answer. */
  timeoutMs: number;
  /** Ends the call at any time; before it was sent that costs nothing. */
  signal?: AbortSignal;
}

/** A whole picture, decoded, on the disk. Whether it is a picture is not looked at here. */
export interface Answer {
  status: number;
  bytes: number;
  /** Of the decoded bytes, in hex. */
  sha256: string;
  /** Milliseconds from the start of the connect to the end of the answer. */
  ms: number;
}

export interface Client {
  /**
   * One HTTP call on a fresh connection; nothing is tried again here. Unless it returns an answer, it leaves no file.
   * @throws EditError with the code of whatever went wrong, its charge included
   * @throws SurroundingsError when the picture cannot be written, which may be after the call was charged. When only the
   * last flush to the disk failed, the file stays.
   */
  edit(request: EditRequest): Promise<Answer>;
}

const operation = '/openapi/v1/image/gpt-image-2/i2i';

/** Connects to nothing yet. */
export function createClient(options: ClientOptions): Client {
  return { edit: (request) => edit(options, request) };
}

async function edit(options: ClientOptions, request: EditRequest): Promise<Answer> {
  const body = createRequestBody(request);
  const spool = await openSpool(request.part);
  const started = performance.now();
  let status: number;
  try {
    const scanner = createScanner((bytes) => spool.write(bytes));
    const ending = await send(options, request, body, (chunk) => scanner.push(chunk));
    spool.check();
    const failure = judge(ending, scanner.end(), request.key);
    if (failure) throw failure;
    ({ status } = ending);
  } catch (error) {
    await spool.discard();
    throw error;
  }
  const ms = Math.round(performance.now() - started);
  return { status, ...(await spool.finish()), ms };
}

function send(
  options: ClientOptions,
  request: EditRequest,
  body: RequestBody,
  onData: (chunk: Buffer) => void,
): Promise<Ending> {
  const { origin, pathname } = new URL(options.baseUrl + operation);
  const { proxy, connect, connectTimeoutMs: timeoutMs = 10_000 } = options;
  const outgoing = {
    origin,
    path: pathname,
    headers: toHeaders(options.version, request.key, body.length),
    body: body.blocks(),
    timeoutMs: request.timeoutMs,
    signal: request.signal,
    hooks: request,
  };
  return exchange(createConnection({ origin, proxy, connect, timeoutMs }), outgoing, onData);
}

function toHeaders(version: string, key: string, length: number): Record<string, string> {
  return {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    'content-length': String(length),
    accept: 'application/json',
    'accept-encoding': 'identity',
    'user-agent': `reshoot/${version} (pid ${process.pid})`,
  };
}

function judge({ progress, ...ending }: Ending, scan: ScanResult, key: string): EditError | undefined {
  if (progress !== 'answering') return fromSystem(ending.broken, progress);
  return classify({ ...ending, ...scan }, Date.now(), key);
}
