import { existsSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { clientOf, failureOf, key, orderOf, serve } from '../fixtures/api-call.ts';
import { answer, pictureAnswer } from '../fixtures/api-server.ts';
import type { EditRequest } from '../../src/api/client.ts';
import type { EditError, ErrorCode } from '../../src/errors.ts';

const html = '<html><body>502 Bad Gateway</body></html>';
const json = (value: unknown): string => JSON.stringify(value);
const picture = Buffer.alloc(200_000, 'picture');

/** The failure of a call to a server that does this with a whole request. */
async function failWith(
  onRequest: (socket: Socket) => void,
  more: Partial<EditRequest> = {},
): Promise<EditError> {
  const server = await serve({ onRequest });
  const order = orderOf(more);
  const failure = await failureOf(clientOf(server.origin).edit(order));
  expect(existsSync(order.part)).toBe(false);
  expect(failure.message).not.toContain(key);
  return failure;
}

type Respond = (socket: Socket) => void;

function cutPicture(then: Respond): Respond {
  return (socket) => {
    answer(socket, 200, pictureAnswer(picture), { cutAt: 100_000 });
    setTimeout(() => then(socket), 50);
  };
}

function cutUnframed(socket: Socket): void {
  socket.end(`HTTP/1.1 200 X\r\n\r\n${pictureAnswer(picture).slice(0, 100_000)}`);
}

function cutChunked(socket: Socket): void {
  socket.end('HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n10\r\n{"data":[{"b64_j\r\n');
}

describe('F42, F43: an answer without a picture', () => {
  it.each([
    [307, '', 'redirected', 'no'],
    [400, json({ code: 400, msg: `${key} bad` }), 'bad_request', 'no'],
    [400, json({ code: 400, msg: 'content policy' }), 'content_refused', 'no'],
    [401, json({ code: 401, msg: `no such key: ${key}` }), 'unauthorized', 'no'],
    [402, json({ code: 402, msg: 'no credits' }), 'no_credit', 'no'],
    [403, json({ code: 403, msg: 'closed' }), 'forbidden', 'no'],
    [403, html, 'firewall', 'no'],
    [404, html, 'not_found', 'no'],
    [408, '', 'server_error', 'no'],
    [413, html, 'too_large', 'no'],
    [422, json({ code: 422, msg: 'what picture?' }), 'unprocessable', 'no'],
    [429, '', 'rate_limited', 'no'],
    [500, json({ code: 500, msg: 'oops' }), 'server_error', 'no'],
    [500, '', 'gateway_error', 'unknown'],
    [502, html, 'gateway_error', 'unknown'],
    [503, html, 'gateway_error', 'unknown'],
    [504, html, 'gateway_error', 'unknown'],
    [200, html, 'gateway_error', 'unknown'],
    [200, json({ code: 402, msg: 'no credits' }), 'no_credit', 'no'],
    [200, json({ code: 500, msg: 'oops' }), 'server_error', 'no'],
    [200, json({ code: 77_001, msg: 'new' }), 'unknown_answer', 'unknown'],
    [200, json({ created: 1, data: [] }), 'empty_answer', 'yes'],
    [200, json({ data: [{ b64_json: null }] }), 'empty_answer', 'yes'],
    [200, json({ data: [{ b64_json: '' }] }), 'empty_answer', 'yes'],
    [200, '', 'empty_answer', 'yes'],
    [200, json({ data: [{ b64_json: 'QUJD!A==' }] }), 'bad_base64', 'yes'],
    [200, json({ data: [{ b64_json: 'QUJDQ' }] }), 'bad_base64', 'yes'],
    [200, '{"data":[{"b64_json":"QUJD', 'bad_base64', 'yes'],
  ] as const)('%i %s → %s', async (status, body, code, charged) => {
    expect(await failWith((socket) => answer(socket, status, body))).toMatchObject({ code, charged, status });
  });

  it('F44: 429 brings how long to wait', async () => {
    const headers = 'Retry-After: 17\r\n';
    const failure = await failWith((socket) => answer(socket, 429, '', { headers }));
    expect(failure.retryAfterMs).toBe(17_000);
  });

  it('over 96 MB', { timeout: 60_000 }, async () => {
    const failure = await failWith((socket) => {
      answer(socket, 200, Buffer.alloc(97 * 1024 * 1024, ' '));
    });
    expect(failure).toMatchObject({ code: 'too_long_answer', charged: 'yes' });
  });
});

describe('F39, F40: a connection that ends too early', () => {
  const endings: [string, Respond, ErrorCode][] = [
    ['by a reset, instead of an answer', (socket) => void socket.resetAndDestroy(), 'reset'],
    ['properly, instead of an answer', (socket) => void socket.end(), 'reset'],
    ['in the headers', (socket) => void socket.end('HTTP/1.1 200 O'), 'reset'],
    ['after words that are no HTTP', (socket) => void socket.end('-ERR unknown\r\n'), 'unknown_answer'],
    ['in the picture', cutPicture((socket) => void socket.end()), 'cut_body'],
    ['in the picture, by a reset', cutPicture((socket) => void socket.resetAndDestroy()), 'cut_body'],
    ['in the picture, unnoticed without a Content-Length', cutUnframed, 'cut_body'],
    ['in a chunked picture', cutChunked, 'cut_body'],
  ];
  it.each(endings)('%s', async (_name, onRequest, code) => {
    expect(await failWith(onRequest)).toMatchObject({ code, charged: 'unknown' });
  });

  it('by a reset, before the request was sent', async () => {
    const server = await serve({ onConnection: (socket) => socket.resetAndDestroy() });
    const failure = await failureOf(clientOf(`https://127.0.0.1:${server.port}`).edit(orderOf()));
    expect(failure).toMatchObject({ code: 'not_sent', charged: 'no' });
  });

  it('behind a whole picture: the picture counts', async () => {
    const server = await serve({
      onRequest: (socket) => {
        const body = pictureAnswer(picture);
        answer(socket, 200, body, { cutAt: body.length - 2 });
        socket.end();
      },
    });
    const order = orderOf();
    expect(await clientOf(server.origin).edit(order)).toMatchObject({ bytes: picture.length });
    expect(readFileSync(order.part).equals(picture)).toBe(true);
  });
});

describe('F41, F49: time-outs and stops', () => {
  it.each([
    ['no answer', () => undefined, 'timeout'],
    ['half an answer', cutPicture(() => undefined), 'timeout'],
  ] as const)('%s in time', async (_name, onRequest, code) => {
    const failure = await failWith(onRequest, { timeoutMs: 400 });
    expect(failure).toMatchObject({ code, charged: 'unknown' });
  });

  it.each([
    ['sent', () => undefined, 'reset'],
    ['being answered', cutPicture(() => undefined), 'cut_body'],
  ] as const)('a stop when the call is %s', async (_name, onRequest, code) => {
    const stop = new AbortController();
    const failure = await failWith(
      (socket) => {
        onRequest(socket);
        setTimeout(() => stop.abort(), 100);
      },
      { signal: stop.signal },
    );
    expect(failure).toMatchObject({ code, charged: 'unknown' });
  });

  it('one stop ends any number of calls, without a warning of Node', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on('warning', note);
    onTestFinished(() => void process.off('warning', note));
    const server = await serve({});
    const stop = new AbortController();
    const client = clientOf(server.origin);
    const calls = Array.from({ length: 30 }, () => failureOf(client.edit(orderOf({ signal: stop.signal }))));
    await expect.poll(() => server.seen.length).toBe(30);
    stop.abort();
    const failures = await Promise.all(calls);
    expect(new Set(failures.map(({ code }) => code))).toEqual(new Set(['reset']));
    expect(warnings).toEqual([]);
  });

  it('a stop before the call reaches nobody', async () => {
    const server = await serve({});
    const signal = AbortSignal.abort();
    const failure = await failureOf(clientOf(server.origin).edit(orderOf({ signal })));
    expect(failure).toMatchObject({ code: 'not_sent', charged: 'no' });
    expect(server.connections).toBe(0);
  });

  it('a stop while connecting costs nothing', async () => {
    const server = await serve({});
    const signal = AbortSignal.timeout(200);
    const failure = await failureOf(clientOf(`https://127.0.0.1:${server.port}`).edit(orderOf({ signal })));
    expect(failure.charged).toBe('no');
  });
});

describe('F38: no connection', () => {
  it('to a name that does not exist', async () => {
    const failure = await failureOf(clientOf('https://reshoot-test.invalid').edit(orderOf()));
    expect(failure).toMatchObject({ code: 'dns_failed', charged: 'no' });
  });

  it('to a port where nobody listens', async () => {
    const server = await serve({});
    await server.stop();
    const failure = await failureOf(clientOf(server.origin).edit(orderOf()));
    expect(failure).toMatchObject({ code: 'connect_refused', charged: 'no' });
  });

  it('to a server that says nothing to the TLS handshake', async () => {
    const server = await serve({});
    const client = clientOf(`https://127.0.0.1:${server.port}`, { connectTimeoutMs: 300 });
    expect(await failureOf(client.edit(orderOf()))).toMatchObject({ code: 'connect_timeout', charged: 'no' });
  });

  it('to a server whose certificate nobody vouches for', async () => {
    const server = await serve({ tls: true });
    const failure = await failureOf(clientOf(server.origin).edit(orderOf()));
    expect(failure).toMatchObject({ code: 'tls_failed', charged: 'no' });
    expect(server.received).toBe(0);
  });

  it('to a server that does not speak TLS', async () => {
    const server = await serve({ onConnection: (socket) => void socket.write('HTTP/1.1 400 X\r\n\r\n') });
    const failure = await failureOf(clientOf(`https://127.0.0.1:${server.port}`).edit(orderOf()));
    expect(failure).toMatchObject({ code: 'tls_failed', charged: 'no' });
  });
});
