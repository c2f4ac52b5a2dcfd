import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { bodyLimit } from './edit.ts';
import type { Answer, Reply } from './answer.ts';
import { Refusal } from './refusal.ts';

/** So long a client that is still sending may go on after its answer. */
const lingerMs = 5000;

/** @throws Refusal when the body is too large, the stream's error when the client went away */
export async function readBody(request: IncomingMessage): Promise<Buffer> {
  if (Number(request.headers['content-length'] ?? 0) > bodyLimit) throw tooLarge();
  const chunks: Buffer[] = [];
  let length = 0;
  // Leaving the loop early must not destroy the socket, over which the refusal still goes.
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    length += chunk.length;
    if (length > bodyLimit) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

const tooLarge = (): Refusal => new Refusal(413, 'too_large', 'the request body is over 40 MB');

/** Puts a reply on the wire; false when the client went away before all of it was handed to the system. */
export async function deliver(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
): Promise<boolean> {
  if (reply === 'reset') {
    request.socket.resetAndDestroy();
    return true;
  }
  if (reply === 'hang') {
    await closed(response);
    return true;
  }
  if (request.socket.destroyed) return false;
  return reply.cut ? sendHalf(response, reply) : sendWhole(request, response, reply);
}

function writeHead(response: ServerResponse, { status, headers, body }: Answer): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
}

async function sendHalf(response: ServerResponse, reply: Answer): Promise<boolean> {
  writeHead(response, reply);
  response.write(reply.body.slice(0, reply.body.length >> 1), () => response.destroy());
  await closed(response);
  return true;
}

async function sendWhole(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Answer,
): Promise<boolean> {
  writeHead(response, reply);
  response.write(reply.body);
  // A socket closed with unread bytes is reset, which can cost the client the answer that is on its way.
  if (!request.complete) await drained(request);
  response.end();
  await closed(response);
  return response.writableFinished;
}

async function drained(request: IncomingMessage): Promise<void> {
  const patience = AbortSignal.timeout(lingerMs);
  request.resume();
  await Promise.race([once(request, 'end'), once(request, 'close'), once(patience, 'abort')]).catch(() => {});
}

async function closed(response: ServerResponse): Promise<void> {
  if (!response.closed) await new Promise((resolve) => response.once('close', resolve));
}
