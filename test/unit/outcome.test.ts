import { describe, expect, it } from 'vitest';
import { classify, fromSystem, type Exchange } from '../../src/api/outcome.ts';
import { retryAfterMs } from '../../src/api/retry-after.ts';
import { EditError, type ErrorCode } from '../../src/errors.ts';

const now = Date.UTC(2026, 10, 23);
const key = 'sk_live_a/b+c';

function exchange(status: number, body: unknown, more: Partial<Exchange> = {}): Exchange {
  const head = typeof body === 'string' ? body : JSON.stringify(body);
  const complete = typeof body !== 'string';
  const headers = { 'content-length': String(head.length) };
  return { status, head, headers, picture: 'none', complete, broken: undefined, ...more };
}

const codeOf = (...args: Parameters<typeof exchange>): ErrorCode | undefined =>
  classify(exchange(...args), now, key)?.code;

const failure = (code: string): Error => Object.assign(new Error('because'), { code });

const html = '<html><body>nginx: our security policy</body></html>';
const refused = { code: 400, msg: '图片内容审核不通过' };
const openai = { error: { message: 'Your request was rejected', code: 'moderation_blocked', type: 'x' } };

describe('classify: by status', () => {
  it.each([
    [300, '', 'redirected'],
    [301, '', 'redirected'],
    [308, html, 'redirected'],
    [400, { code: 400, msg: 'size: not one of 1K, 2K, 4K' }, 'bad_request'],
    [400, refused, 'content_refused'],
    [400, '{"detail":"\\u5ba1\\u6838"}', 'content_refused'],
    [400, { code: 400, msg: 'size is case-sensitive' }, 'bad_request'],
    [401, { code: 401, msg: 'no such key' }, 'unauthorized'],
    [401, html, 'unauthorized'],
    [402, { code: 402, msg: 'no credits' }, 'no_credit'],
    [403, { code: 403, msg: 'account closed' }, 'forbidden'],
    [403, { code: 403, msg: 'unsafe: moderation' }, 'content_refused'],
    [403, html, 'firewall'],
    [403, { message: 'Forbidden' }, 'firewall'],
    [404, html, 'not_found'],
    [408, '', 'server_error'],
    [409, '', 'bad_request'],
    [413, html, 'too_large'],
    [422, { code: 422, msg: 'cannot read the picture' }, 'unprocessable'],
    [422, openai, 'content_refused'],
    [429, '', 'rate_limited'],
    [429, { code: 429, msg: 'policy' }, 'rate_limited'],
    [451, 'blocked by policy', 'content_refused'],
    [500, { code: 500, msg: 'oops' }, 'server_error'],
    [500, { code: '50013', message: 'oops' }, 'server_error'],
    [500, { error: { message: 'oops' } }, 'server_error'],
    [500, { code: 500, msg: '内容违规' }, 'content_refused'],
    [500, 'Internal Server Error', 'gateway_error'],
    [500, html, 'gateway_error'],
    [502, html, 'gateway_error'],
    [503, { message: 'no upstream' }, 'gateway_error'],
    [504, '', 'gateway_error'],
    [522, html, 'gateway_error'],
  ] as const)('%i %j → %s', (status, body, code) => {
    expect(codeOf(status, body)).toBe(code);
  });

  it('keeps to the status when the body broke off', () => {
    expect(codeOf(422, '{"code":4', { broken: new Error('x') })).toBe('unprocessable');
  });
});

describe('classify: HTTP 200', () => {
  it.each([
    [{ code: 400, msg: 'bad ratio' }, 'bad_request'],
    [{ code: 401, msg: 'key' }, 'unauthorized'],
    [{ code: '402', msg: '余额不足' }, 'no_credit'],
    [{ code: 403, msg: 'closed', data: null }, 'forbidden'],
    [{ code: 429, msg: 'slow down' }, 'rate_limited'],
    [refused, 'content_refused'],
    [{ code: 500, msg: 'oops' }, 'server_error'],
    [{ code: 504, msg: 'oops' }, 'server_error'],
    [{ code: 600, msg: 'oops' }, 'unknown_answer'],
    [{ code: 10_013, msg: 'oops' }, 'unknown_answer'],
    [{ code: 10_013, msg: 'content policy' }, 'content_refused'],
    [{ code: 0, msg: 'success', data: [] }, 'unknown_answer'],
    [openai, 'content_refused'],
    [{ error: { message: 'oops' } }, 'unknown_answer'],
    [{ code: 200, msg: 'ok', data: [] }, 'empty_answer'],
    [{ created: 1, data: [] }, 'empty_answer'],
    [{ created: 1, data: [{ b64_json: null }] }, 'empty_answer'],
    [{ created: 1, data: [{ url: 'http://127.0.0.1/' }] }, 'empty_answer'],
    ['', 'empty_answer'],
    ['null', 'empty_answer'],
    ['{"created":1,', 'empty_answer'],
    [html, 'gateway_error'],
    [`\n${html}`, 'gateway_error'],
    ['\nnull\n', 'empty_answer'],
    ['OK', 'unknown_answer'],
    ['nullified', 'unknown_answer'],
  ] as const)('%j → %s', (body, code) => {
    expect(codeOf(200, body)).toBe(code);
  });

  const broken = Object.assign(new Error('other side closed'), { code: 'UND_ERR_SOCKET' });
  const unframed = { headers: {} };
  it.each([
    ['whole', {}, undefined],
    ['whole', { broken, complete: false }, undefined],
    ['damaged', {}, 'bad_base64'],
    ['damaged', { broken }, 'bad_base64'],
    ['cut', {}, 'bad_base64'],
    ['cut', unframed, 'cut_body'],
    ['cut', { headers: { 'transfer-encoding': 'chunked' } }, 'bad_base64'],
    ['cut', { broken }, 'cut_body'],
    ['none', { broken }, 'cut_body'],
    ['none', unframed, 'cut_body'],
  ] as const)('a %s picture with %j → %s', (picture, more, code) => {
    expect(codeOf(200, '{"data":[{"b64_json":"', { picture, ...more })).toBe(code);
  });

  it('takes a picture although the envelope calls success 0', () => {
    expect(
      codeOf(200, { code: 0, msg: 'ok', data: [{ b64_json: '' }] }, { picture: 'whole' }),
    ).toBeUndefined();
  });
});

describe('messages', () => {
  it('say the code, what to do, the status and the words of the API', () => {
    const error = classify(exchange(422, { code: 422, msg: 'face\u001b[31m' }), now, key);
    expect(error?.message).toBe(
      'unprocessable: the API cannot use this picture or prompt (422): read its message, change the row. ' +
        'HTTP 422, "face\\u001b[31m"',
    );
    expect(error).toMatchObject({ status: 422, charged: 'no', disposition: 'fatal' });
  });

  it('name the code inside an HTTP 200', () => {
    expect(classify(exchange(200, { code: 402, msg: 'empty' }), now, key)?.message).toContain(
      'HTTP 200, code 402',
    );
  });

  it.each([key, JSON.stringify({ sent: key }).replaceAll('/', '\\/'), encodeURIComponent(key)])(
    'never hold the key, as in %s',
    (echo) => {
      const message = classify(exchange(401, `Bearer ${echo} is not known`), now, key)?.message ?? '';
      expect(message).toContain('[redacted]');
      expect(message).not.toContain('sk_live');
    },
  );

  it('never hold the key as JSON writes it either', () => {
    const quoted = 'sk_live"\\1';
    const message = classify(exchange(401, { sent: quoted }), now, quoted)?.message;
    expect(message).toMatch(/"\{"sent":"\[redacted\]"\}"$/);
  });

  it('say nothing of an answer that says nothing', () => {
    expect(classify(exchange(502, '\n '), now, key)?.message).toMatch(/HTTP 502$/);
  });

  it('of the system say its code and its words, and keep what they know', () => {
    const cause = failure('ECONNRESET');
    const error = fromSystem(cause, 'sent', 200);
    expect(error.message).toMatch(/^reset: .* \(ECONNRESET, because\)$/);
    expect(error).toMatchObject({ status: 200, cause });
    expect(fromSystem(new Error('because'), 'sent').message).toMatch(/ \(because\)$/);
  });

  it('are short', () => {
    expect(classify(exchange(500, 'x'.repeat(4096)), now, key)?.message.length).toBeLessThan(500);
  });
});

describe('fromSystem', () => {
  it.each([
    ['ENOTFOUND', 'dns_failed'],
    ['EAI_AGAIN', 'dns_failed'],
    ['ECONNREFUSED', 'connect_refused'],
    ['ETIMEDOUT', 'connect_timeout'],
    ['EHOSTUNREACH', 'connect_timeout'],
    ['UND_ERR_CONNECT_TIMEOUT', 'connect_timeout'],
    ['CERT_HAS_EXPIRED', 'tls_failed'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls_failed'],
    ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'tls_failed'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls_failed'],
    ['EPROTO', 'tls_failed'],
    ['ECONNRESET', 'not_sent'],
    ['EMFILE', 'not_sent'],
  ] as const)('before anything was sent: %s → %s', (code, expected) => {
    expect(fromSystem(failure(code), 'unsent')).toMatchObject({ code: expected, charged: 'no' });
  });

  it.each([
    ['ECONNRESET', 'sent', 'reset'],
    ['ECONNREFUSED', 'sent', 'reset'],
    ['UND_ERR_HEADERS_OVERFLOW', 'sent', 'unknown_answer'],
    ['ECONNRESET', 'answering', 'cut_body'],
    ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'answering', 'cut_body'],
    ['UND_ERR_RES_EXCEEDED_MAX_SIZE', 'answering', 'too_long_answer'],
  ] as const)('%s when %s → %s', (code, progress, expected) => {
    expect(fromSystem(failure(code), progress).code).toBe(expected);
  });

  it.each([
    'XENOTFOUND',
    'EAI_AGAIN-2',
    'XECONNREFUSED',
    'ECONNREFUSED2',
    'XETIMEDOUT',
    'ETIMEDOUT2',
    'XEPROTO',
  ])('knows %s for nothing else', (code) =>
    expect(fromSystem(failure(code), 'unsent').code).toBe('not_sent'),
  );

  it('tells a parser that does not understand the answer from a connection that broke', () => {
    const odd = Object.assign(new Error('Invalid header'), { name: 'HTTPParserError' });
    expect(fromSystem(odd, 'sent').code).toBe('unknown_answer');
    expect(fromSystem(new Error('gone'), 'unsent').code).toBe('not_sent');
    expect(fromSystem(new Error('gone'), 'sent').code).toBe('reset');
  });

  it('keeps an error of our own as it is before the call left, and only then', () => {
    const own = new EditError('input_missing', 'gone');
    expect(fromSystem(own, 'unsent')).toBe(own);
    expect(fromSystem(own, 'sent').code).toBe('reset');
  });

  it('tells a time-out by how far the call got', () => {
    const late = new DOMException('late', 'TimeoutError');
    const found = (['unsent', 'sent', 'answering'] as const).map(
      (progress) => fromSystem(late, progress).code,
    );
    expect(found).toEqual(['connect_timeout', 'timeout', 'timeout']);
  });
});

describe('retryAfterMs', () => {
  it.each([
    ['7', 7000],
    ['1.5', 1500],
    ['999999', 900_000],
    [new Date(now + 30_000).toUTCString(), 30_000],
    [new Date(now + 3_600_000).toUTCString(), 900_000],
    [new Date(now - 1000).toUTCString(), undefined],
    ['0', undefined],
    ['-5', undefined],
    ['soon', undefined],
    ['in 2040', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('%s → %s', (header, expected) => {
    expect(retryAfterMs(header, now)).toBe(expected);
  });

  it('goes with the error', () => {
    const limited = exchange(429, '', { headers: { 'retry-after': '12' } });
    expect(classify(limited, now, key)?.retryAfterMs).toBe(12_000);
  });
});
