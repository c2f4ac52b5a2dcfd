/** The API's own words about a failure: `{code, msg}`, or the shape of OpenAI's errors. */
export interface Envelope {
  /** Undefined where the code is no number. */
  code: number | undefined;
  message: string;
  /** Everything in it that may name the reason, for matching. */
  words: string;
}

/** The envelope of an answer's body; undefined where the body is something else, such as a gateway's page. */
export function readEnvelope(body: string): Envelope | undefined {
  const answer = parseObject(body);
  if (!answer) return undefined;
  if (isObject(answer['error'])) return readError(answer['error']);
  const code = toCode(answer['code']);
  const message = answer['msg'] ?? answer['message'];
  if (code === undefined || typeof message !== 'string') return undefined;
  return { code, message, words: message };
}

function readError({ code, type, message }: Record<string, unknown>): Envelope | undefined {
  if (typeof message !== 'string') return undefined;
  const names = [code, type].filter((name) => typeof name === 'string');
  return { code: toCode(code), message, words: [message, ...names].join(' ') };
}

function toCode(value: unknown): number | undefined {
  const isNumber = typeof value === 'number' || (typeof value === 'string' && /^\d{1,9}$/.test(value));
  return isNumber ? Number(value) : undefined;
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
