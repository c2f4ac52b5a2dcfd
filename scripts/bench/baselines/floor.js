/**
 * No contender but a floor: each byte is read, encoded, sent, received, decoded and written once, over bare sockets, all
 * calls at the same time. No HTTP client, no JSON parser, no flush to the disk, no look at what the bytes are.
 */
// @ts-check
import { once } from 'node:events';
import { closeSync, createReadStream, openSync, statSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { api, out, readRows } from './job.js';

const { hostname, port } = new URL(api.url);
const opening = '"b64_json":"';

const rows = await readRows();
await Promise.all(rows.map(call));

/** @param {(typeof rows)[number]} row */
async function call(row) {
  const socket = connect(Number(port), hostname);
  await Promise.all([send(socket, row), receive(socket, join(out, `${row.id}.png`))]);
}

/**
 * @param {import('node:net').Socket} socket
 * @param {(typeof rows)[number]} row
 */
async function send(socket, { image, prompt, size }) {
  const head = `${JSON.stringify({ prompt, size }).slice(0, -1)},"image_b64":"`;
  const length = head.length + Math.ceil(statSync(image).size / 3) * 4 + 2;
  socket.write(`POST /openapi/v1/image/gpt-image-2/i2i HTTP/1.1\r
host: ${hostname}\r
connection: close\r
authorization: Bearer ${api.key}\r
content-type: application/json\r
content-length: ${length}\r
\r
${head}`);
  // A multiple of three, so that the blocks' base64 joins without padding.
  for await (const block of createReadStream(image, { highWaterMark: 192 * 1024 })) {
    if (!socket.write(block.toString('base64'), 'latin1')) await once(socket, 'drain');
  }
  socket.write('"}');
}

/**
 * @param {import('node:net').Socket} socket
 * @param {string} path
 */
async function receive(socket, path) {
  const file = openSync(path, 'w');
  let inside = false;
  let rest = '';
  for await (const chunk of socket) {
    rest += chunk.latin1Slice();
    if (!inside) {
      const at = rest.indexOf(opening);
      if (at < 0) continue;
      inside = true;
      rest = rest.slice(at + opening.length);
    }
    const end = rest.indexOf('"');
    const usable = end < 0 ? rest.length - (rest.length % 4) : end;
    writeSync(file, Buffer.from(rest.slice(0, usable), 'base64'));
    if (end >= 0) break;
    rest = rest.slice(usable);
  }
  closeSync(file);
}
