import { createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import { expect, it } from 'vitest';
import { clientOf, orderOf, serve } from '../fixtures/api-call.ts';
import { answer, pictureAnswer } from '../fixtures/api-server.ts';
import type { Answer } from '../../src/api/client.ts';

// With back-pressure these are the cases in which undici 7.26 to 7.30 ends the process with an uncatchable assertion.
const picture = Buffer.alloc(16 * 1024 * 1024, 'a large picture');
const sha256 = createHash('sha256').update(picture).digest('hex');
const body = Buffer.from(pictureAnswer(picture));

async function callTwenty(onRequest: (socket: Socket) => void): Promise<PromiseSettledResult<Answer>[]> {
  const server = await serve({ onRequest });
  const client = clientOf(server.origin);
  return Promise.allSettled(Array.from({ length: 20 }, () => client.edit(orderOf({ timeoutMs: 60_000 }))));
}

it.each([
  ['with a Content-Length', (socket: Socket) => answer(socket, 200, body)],
  [
    'without one',
    (socket: Socket) => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      socket.write(body);
    },
  ],
])('20 answers of 16 MB, %s, whose server closes at once behind them', async (_name, respond) => {
  const outcomes = await callTwenty((socket) => {
    respond(socket);
    socket.destroySoon();
  });
  for (const outcome of outcomes) expect(outcome).toMatchObject({ value: { sha256, bytes: picture.length } });
});

it.each([
  ['destroys the connection', (socket: Socket) => socket.destroy()],
  ['resets it', (socket: Socket) => socket.resetAndDestroy()],
  ['ends it', (socket: Socket) => socket.end()],
])('20 answers of 16 MB whose server %s in their middle', async (_name, close) => {
  const outcomes = await callTwenty((socket) => {
    const half = body.subarray(0, body.length / 2);
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n`);
    socket.write(half, () => close(socket));
  });
  for (const outcome of outcomes)
    expect(outcome).toMatchObject({ reason: { code: 'cut_body', status: 200 } });
});
