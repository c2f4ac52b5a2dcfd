import { printable } from '../cells.ts';
import { codes, EditError, systemCode, toError, type ErrorCode } from '../errors.ts';
import { readEnvelope, type Envelope } from './envelope.ts';
import { retryAfterMs } from './retry-after.ts';
import type { ScanResult } from './scanner.ts';

/** How far a call got: nothing on the wire, the request under way or sent, the answer's headers here. */
export type Progress = 'unsent' | 'sent' | 'answering';

/** A call whose answer came, or began to. */
export interface Exchange extends ScanResult {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  /** What broke the connection before the answer's end, if anything did. */
  broken: Error | undefined;
}

const byStatus: Partial<Record<number, ErrorCode>> = {
  401: 'unauthorized',
  402: 'no_credit',
  404: 'not_found',
  // Not charged and worth another try, which is all that the server's own failures have in common with it.
  408: 'server_error',
  413: 'too_large',
  429: 'rate_limited',
};

const unsentCodes: [RegExp, ErrorCode][] = [
  [/^(ENOTFOUND|EAI_\w+)$/, 'dns_failed'],
  [/^ECONNREFUSED$/, 'connect_refused'],
  [/^(ETIMEDOUT|E(HOST|NET)(UNREACH|DOWN)|UND_ERR_(CONNECT|HEADERS)_TIMEOUT)$/, 'connect_timeout'],
  [/CERT|SSL|TLS|CRL_|^(EPROTO|INVALID_|UNABLE_TO_|PATH_LENGTH_)/, 'tls_failed'],
];

const contentPolicy =
  /polic(y|ies)|moderat|safety|nsfw|(?<!case[- ])sensitive|审核|违规|违禁|敏感|不合规|合规性|色情/i;

/**
 * The one mapper from an answer to a code: by status, then by the API's envelope, then by shape.
 * @param now milliseconds since 1970, for a Retry-After that is a date
 * @param key the API key of the call, so that an answer that repeats it does not bring it into a message
 * @returns undefined for an answer that holds a whole picture
 */
export function classify(exchange: Exchange, now: number, key: string): EditError | undefined {
  const { status, headers, broken } = exchange;
  const envelope = readEnvelope(exchange.head);
  const text = envelope?.words ?? unescaped(exchange.head);
  const code = isSuccess(status) ? ofSuccess(exchange, envelope) : ofStatus(status, envelope, text);
  if (code === undefined) return undefined;
  if (code === 'broken') return fromSystem(broken, 'answering', status);
  const inner = isSuccess(status) && envelope?.code !== undefined ? `, code ${envelope.code}` : '';
  const words = printable(withoutKey(envelope?.message ?? text, key).trim(), 300);
  return new EditError(code, `${codes[code].says}. HTTP ${status}${inner}${words && `, "${words}"`}`, {
    status,
    retryAfterMs: retryAfterMs(headers['retry-after'], now),
  });
}

/** A failure of the network, the time-out or a stop as the code that fits how far the call had got. */
export function fromSystem(error: unknown, progress: Progress, status?: number): EditError {
  if (progress === 'unsent' && error instanceof EditError) return error;
  const cause = toError(error);
  const code = progress === 'unsent' ? ofUnsent(cause) : ofSent(cause, progress);
  const detail = printable([systemCode(cause), cause.message].filter(Boolean).join(', '), 300);
  return new EditError(code, `${codes[code].says} (${detail})`, { status, cause });
}

const isSuccess = (status: number): boolean => status >= 200 && status < 300;
const isTimeout = (error: Error): boolean => error.name === 'TimeoutError';

function ofSuccess(exchange: Exchange, envelope: Envelope | undefined): ErrorCode | 'broken' | undefined {
  // A whole picture is what was paid for, whatever stands or breaks behind it.
  if (exchange.picture === 'whole') return undefined;
  if (exchange.picture === 'damaged') return 'bad_base64';
  if (envelope && envelope.code !== 200) return ofEnvelope(envelope);
  if (exchange.broken) return 'broken';
  if (exchange.picture === 'cut') return isFramed(exchange) ? 'bad_base64' : 'cut_body';
  return ofShape(exchange);
}

function ofEnvelope(envelope: Envelope): ErrorCode {
  const { code = 0 } = envelope;
  if (code >= 400 && code < 600) return ofStatus(code, envelope, envelope.words);
  return contentPolicy.test(envelope.words) ? 'content_refused' : 'unknown_answer';
}

/** An answer without a picture that is no refusal either. */
function ofShape(exchange: Exchange): ErrorCode {
  const text = exchange.head.trim();
  if (text.startsWith('<')) return 'gateway_error';
  if (!exchange.complete && !isFramed(exchange)) return 'cut_body';
  return /^([{[]|null$|$)/.test(text) ? 'empty_answer' : 'unknown_answer';
}

/** Did the headers say where the answer ends? If not, an answer that was cut looks like a finished one. */
function isFramed({ headers }: Exchange): boolean {
  return headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
}

function ofStatus(status: number, envelope: Envelope | undefined, text: string): ErrorCode {
  const fixed = byStatus[status];
  if (fixed) return fixed;
  if (status < 400) return 'redirected';
  const mayRefuse = envelope !== undefined || (status < 500 && status !== 403);
  if (mayRefuse && contentPolicy.test(text)) return 'content_refused';
  if (status === 403) return envelope ? 'forbidden' : 'firewall';
  if (status === 422) return 'unprocessable';
  if (status < 500) return 'bad_request';
  return envelope ? 'server_error' : 'gateway_error';
}

function ofUnsent(error: Error): ErrorCode {
  if (isTimeout(error)) return 'connect_timeout';
  const code = systemCode(error) ?? '';
  return unsentCodes.find(([pattern]) => pattern.test(code))?.[1] ?? 'not_sent';
}

function ofSent(error: Error, progress: 'sent' | 'answering'): ErrorCode {
  if (isTimeout(error)) return 'timeout';
  const code = systemCode(error) ?? '';
  if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') return 'too_long_answer';
  if (progress === 'answering') return 'cut_body';
  const isForeign = error.name === 'HTTPParserError' || code === 'UND_ERR_HEADERS_OVERFLOW';
  return isForeign ? 'unknown_answer' : 'reset';
}

/** Many servers write everything but ASCII as `\u….`. */
function unescaped(json: string): string {
  return json.replaceAll(/\\(?:u([\da-f]{4})|\/)/gi, (_escape, hex?: string) =>
    hex === undefined ? '/' : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function withoutKey(text: string, key: string): string {
  const forms = [key, JSON.stringify(key).slice(1, -1), encodeURIComponent(key)];
  return forms.reduce((safe, form) => safe.replaceAll(form, '[redacted]'), text);
}
