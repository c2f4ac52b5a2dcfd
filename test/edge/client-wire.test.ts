import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { buildConnector } from 'undici';
import { clientOf, failureOf, key, orderOf, serve, spoolPath } from '../fixtures/api-call.ts';
import { certificate } from '../fixtures/api-certificate.ts';
import { answer, pictureAnswer, type RawServer } from '../fixtures/api-server.ts';
import { SurroundingsError } from '../../src/errors.ts';

const picture = Buffer.from('the bytes of a picture');
const servePicture = (tls = false): Promise<RawServer> =>
  serve({ tls, onRequest: (socket) => answer(socket, 200, pictureAnswer(picture)) });

/** A proxy that opens a tunnel to the API, whatever it is asked for. */
const tunnel = (api: RawServer): Promise<RawServer> =>
  serve({
    onRequest: (socket) => {
      socket.removeAllListeners('data');
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      const onward = connectTcp(api.port, '127.0.0.1');
      onward.on('error', () => undefined);
      socket.pipe(onward).pipe(socket);
    },
  });

const headersOf = (head: string): Record<string, string> =>
  Object.fromEntries(
    head
      .split('\r\n')
      .slice(1)
      .map((line) => line.split(': ') as [string, string]),
  );

describe('the request', () => {
  it('says what is asked, with its length, and nothing of a lasting connection', async () => {
    const server = await servePicture();
    await clientOf(`${server.origin}/prefix`).edit(orderOf());
    const { head, body } = server.seen[0]!;
    expect(head).toMatch(/^POST \/prefix\/openapi\/v1\/image\/gpt-image-2\/i2i HTTP\/1.1\r\n/);
    expect(headersOf(head)).toEqual({
      host: `127.0.0.1:${server.port}`,
      connection: 'close',
      authorization: `Bearer ${key}`,
      'content-type': 'application/json',
      'content-length': String(body.length),
      accept: 'application/json',
      'accept-encoding': 'identity',
      'user-agent': `reshoot/0.0.0 (pid ${process.pid})`,
    });
    expect(JSON.parse(body.toString())).toEqual({
      prompt: 'a "red" shoe 鞋',
      size: '1K',
      ratio: '1:1',
      route: 1,
      image_b64: Buffer.from('a small picture').toString('base64'),
    });
  });

  it('carries several pictures of up to 8 MB byte for byte', async () => {
    const server = await servePicture();
    const sizes = [8 * 1024 * 1024, 0, 1, 192 * 1024, 192 * 1024 + 2];
    const pictures = sizes.map((size, index) => ({ bytes: Buffer.alloc(size, `picture ${index}`) }));
    await clientOf(server.origin).edit(orderOf({ pictures }));
    const { head, body } = server.seen[0]!;
    expect(headersOf(head)['content-length']).toBe(String(body.length));
    const sent = (JSON.parse(body.toString()) as { image_b64: string[] }).image_b64;
    expect(sent).toHaveLength(pictures.length);
    expect(pictures.every(({ bytes }, index) => Buffer.from(sent[index]!, 'base64').equals(bytes))).toBe(
      true,
    );
  });

  it('carries addresses as addresses', async () => {
    const server = await servePicture();
    const pictures = [{ url: 'https://example.com/a.jpg' }, { url: 'https://example.com/b.jpg' }];
    await clientOf(server.origin).edit(orderOf({ pictures }));
    const sent: unknown = JSON.parse(server.seen[0]!.body.toString());
    expect(sent).toMatchObject({ image_urls: pictures.map(({ url }) => url) });
    expect(sent).not.toHaveProperty('image_b64');
  });

  it.each([[[]], [[{ bytes: picture }, { url: 'https://example.com/a.jpg' }]]])(
    'is not made from no pictures, or from both kinds (%#)',
    async (pictures) => {
      const failure = await failureOf(clientOf('http://127.0.0.1:9').edit(orderOf({ pictures })));
      expect(failure.code).toBe('bug');
    },
  );

  it('goes over a connection of its own', async () => {
    const server = await servePicture();
    const client = clientOf(server.origin);
    for (let n = 1; n <= 3; n += 1) {
      await client.edit(orderOf());
      expect(server.connections).toBe(n);
    }
  });

  it('F50: never follows a redirect, so no other host hears the key', async () => {
    const other = await servePicture();
    for (const status of [301, 302, 303, 307, 308]) {
      const headers = `location: ${other.origin}/\r\n`;
      const server = await serve({ onRequest: (socket) => answer(socket, status, '', { headers }) });
      expect((await failureOf(clientOf(server.origin).edit(orderOf()))).code).toBe('redirected');
    }
    expect(other.connections).toBe(0);
  });

  it('goes over TLS', async () => {
    const server = await servePicture(true);
    const client = clientOf(server.origin, { connect: buildConnector({ ca: certificate.cert }) });
    expect(await client.edit(orderOf())).toMatchObject({ status: 200, bytes: picture.length });
  });
});

describe('the hooks', () => {
  it('are called before the head, with the head, and before the last byte, which waits', async () => {
    const server = await servePicture();
    const calls: string[] = [];
    await clientOf(server.origin).edit(
      orderOf({
        beforeSend: () => calls.push(`before ${server.received}`),
        onBegin: () => calls.push('begin'),
        async beforeEnd() {
          await sleep(200);
          calls.push(`before the end ${server.received} ${server.seen.length}`);
        },
      }),
    );
    const { head, body } = server.seen[0]!;
    const most = head.length + '\r\n\r\n'.length + body.length;
    expect(calls).toEqual(['before 0', 'begin', `before the end ${most - 2} 0`]);
    expect(server.received).toBe(most);
  });

  it('let the head leave at once, though the body is too short for two blocks', async () => {
    const server = await servePicture();
    let before = 0;
    const beforeEnd = async (): Promise<void> => {
      await sleep(200);
      before = server.received;
    };
    const pictures = [{ url: 'https://example.com/a.jpg' }];
    await clientOf(server.origin).edit(orderOf({ pictures, beforeEnd }));
    expect(before).toBe(server.received - 1);
    expect(JSON.parse(server.seen[0]!.body.toString())).toMatchObject({ image_urls: [pictures[0]!.url] });
  });

  it('let go of the pictures before the last byte waits', async () => {
    const server = await servePicture();
    const pictures = [{ bytes: Buffer.alloc(300_000, 'picture') }];
    const whole = pictures[0]!.bytes.toString('base64');
    const beforeEnd = async (): Promise<void> => {
      pictures[0]!.bytes.fill(0);
    };
    await clientOf(server.origin).edit(orderOf({ pictures, beforeEnd }));
    expect(JSON.parse(server.seen[0]!.body.toString())).toMatchObject({ image_b64: whole });
  });

  it('end with the call while its last byte waits', async () => {
    const server = await servePicture();
    const order = orderOf({ timeoutMs: 100, beforeEnd: () => sleep(200) });
    expect(await failureOf(clientOf(server.origin).edit(order))).toMatchObject({
      code: 'timeout',
      charged: 'unknown',
    });
    await sleep(200);
    expect(server.seen).toEqual([]);
  });

  it.each([false, true])('beforeSend keeps every byte from the wire by throwing (TLS: %s)', async (tls) => {
    const server = await servePicture(tls);
    const connect = buildConnector({ ca: certificate.cert });
    const sent: string[] = [];
    const stale = new Error('the slot is too old');
    const beforeSend = (): never => {
      throw stale;
    };
    const order = orderOf({ beforeSend, onBegin: () => sent.push('head') });
    const failure = await failureOf(clientOf(server.origin, { connect }).edit(order));
    expect(failure).toMatchObject({ code: 'not_sent', charged: 'no', cause: stale });
    await server.stop();
    expect(server.received).toBe(0);
    expect(sent).toEqual([]);
  });

  it('hear of no end when the server refuses before it has the body', async () => {
    const server = await serve({
      onConnection: (socket) => {
        socket.once('data', () => {
          socket.pause();
          answer(socket, 413, '{"code":413,"msg":"too large"}');
        });
      },
    });
    const sent: string[] = [];
    const pictures = [{ bytes: Buffer.alloc(8 * 1024 * 1024) }];
    const order = orderOf({
      pictures,
      onBegin: () => sent.push('head'),
      beforeEnd: async () => void sent.push('end'),
    });
    expect((await failureOf(clientOf(server.origin).edit(order))).code).toBe('too_large');
    expect(sent).toEqual(['head']);
  });
});

describe('the spool', () => {
  it('holds the decoded bytes', async () => {
    const server = await servePicture();
    const order = orderOf();
    const { sha256, ms } = await clientOf(server.origin).edit(order);
    expect(readFileSync(order.part).equals(picture)).toBe(true);
    expect(sha256).toBe(createHash('sha256').update(picture).digest('hex'));
    expect(ms).toBeGreaterThanOrEqual(0);
  });

  it('is never written over, and nothing is sent', async () => {
    const server = await servePicture();
    const part = spoolPath();
    writeFileSync(part, 'paid');
    await expect(clientOf(server.origin).edit(orderOf({ part }))).rejects.toThrow(SurroundingsError);
    expect(readFileSync(part, 'utf8')).toBe('paid');
    expect(server.connections).toBe(0);
  });

  it('says that it is full, after the answer was read to its end', async () => {
    let drained = false;
    const body = pictureAnswer(Buffer.alloc(12 * 1024 * 1024));
    const server = await serve({
      onRequest: (socket) => {
        answer(socket, 200, body);
        socket.end(() => (drained = true));
      },
    });
    const part = spoolPath();
    const script = 'ulimit -f 4096; exec "$0" --import tsx test/fixtures/api-full-disk.ts "$1" "$2"';
    const child = spawn('bash', ['-c', script, process.execPath, server.origin, part]);
    const said: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => said.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
    await once(child, 'close');
    expect(Buffer.concat(said).toString()).toMatch(/^SurroundingsError: .* cannot be written .*EFBIG/);
    expect(drained).toBe(true);
    expect(existsSync(part)).toBe(false);
  });
});

describe('through a proxy', () => {
  it('the call goes by a tunnel, and the proxy does not hear the key', async () => {
    const api = await servePicture();
    const proxy = await tunnel(api);
    const client = clientOf(api.origin, { proxy: `http://user:secret@127.0.0.1:${proxy.port}` });
    expect(await client.edit(orderOf())).toMatchObject({ status: 200, bytes: picture.length });
    expect(proxy.seen[0]?.head).toMatch(/^CONNECT 127\.0\.0\.1:\d+ /);
    expect(proxy.seen[0]?.head).toContain('proxy-authorization: Basic ');
    expect(proxy.seen[0]?.head).not.toContain(key);
    expect(headersOf(api.seen[0]!.head)).toMatchObject({ connection: 'close' });
  });

  it('whose tunnel ends at a certificate that nobody vouches for, the call is not sent', async () => {
    const api = await servePicture(true);
    const proxy = await tunnel(api);
    const client = clientOf(api.origin, { proxy: `http://127.0.0.1:${proxy.port}` });
    expect((await failureOf(client.edit(orderOf()))).code).toBe('tls_failed');
    expect(api.received).toBe(0);
  });

  it.each([
    ['that hangs up', { onRequest: (socket: { destroy(): unknown }) => void socket.destroy() }, 'not_sent'],
    [
      'that wants a password',
      { onRequest: (socket: Parameters<typeof answer>[0]) => answer(socket, 407) },
      'not_sent',
    ],
    ['that says nothing', {}, 'connect_timeout'],
  ] as const)('%s: one connection, nothing sent', async (_name, behaviour, code) => {
    const proxy = await serve(behaviour);
    const client = clientOf('https://reshoot-test.invalid', {
      proxy: `http://127.0.0.1:${proxy.port}`,
      connectTimeoutMs: 1000,
    });
    expect(await failureOf(client.edit(orderOf()))).toMatchObject({ code, charged: 'no' });
    expect(proxy.connections).toBe(1);
  });
});
