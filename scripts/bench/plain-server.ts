/**
 * A server that is less than the simulator: it answers every call with the same picture, of any size, and looks at
 * nothing. Arguments: the picture's file; then, for a limit, calls, window and latency in milliseconds. Its limit is
 * milder than the simulator's: a refused call doesn't count. Says its address on stderr, and every call as a line of
 * JSON on stdout, as the simulator does.
 */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const now = (): number => performance.timeOrigin + performance.now();

const [file = '', limit = 'Infinity', window = '0', latency = '0'] = process.argv.slice(2);
const [most, windowMs, latencyMs] = [Number(limit), Number(window), Number(latency)];
const b64_json = (await readFile(file)).toString('base64');
const body = Buffer.from(JSON.stringify({ created: 1, data: [{ b64_json }] }));
/** Arrivals of the calls that were let in, at most as many as the limit. */
const counted: number[] = [];

const server = createServer((request, response) => {
  const at = now();
  const waitMs = count(at);
  const status = waitMs === undefined ? 200 : 429;
  const answer = (): void => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length }).end(body);
  };
  request.resume().on('end', () => {
    if (waitMs !== undefined) response.writeHead(429, retryAfter(waitMs)).end();
    else setTimeout(answer, latencyMs);
  });
  response.on('close', () => {
    const line = { at, ms: now() - at, status: response.writableFinished ? status : 0 };
    process.stdout.write(`${JSON.stringify(line)}\n`);
  });
});
server.listen(0, '127.0.0.1', () => {
  process.stderr.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});

/** Lets a call in, or says how long there is no room. */
function count(at: number): number | undefined {
  const oldest = counted.length < most ? undefined : counted[0];
  if (oldest !== undefined && oldest > at - windowMs) return oldest + windowMs - at;
  if (oldest !== undefined) counted.shift();
  if (most !== Infinity) counted.push(at);
  return undefined;
}

/** About half of the refusals have it, as with the simulator. */
function retryAfter(waitMs: number): Record<string, string> {
  return Math.random() < 0.5 ? { 'retry-after': String(Math.ceil(waitMs / 1000)) } : {};
}
