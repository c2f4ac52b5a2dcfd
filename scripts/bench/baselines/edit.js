/** One call as most scripts make it: the picture read, encoded, sent by fetch, the answer parsed, decoded, written. */
// @ts-check
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { api, out } from './job.js';

export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {number | undefined} retryAfterMs
   */
  constructor(status, retryAfterMs) {
    super(`HTTP ${status}`);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/**
 * @param {{ id: string, image: string, prompt: string, size: string }} row
 * @throws ApiError for any answer but a picture
 */
export async function edit({ id, image, prompt, size }) {
  const image_b64 = (await readFile(image)).toString('base64');
  const response = await fetch(`${api.url}/openapi/v1/image/gpt-image-2/i2i`, {
    method: 'POST',
    headers: { authorization: `Bearer ${api.key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ prompt, size, image_b64 }),
  });
  if (!response.ok) {
    await response.text();
    const seconds = response.headers.get('retry-after');
    throw new ApiError(response.status, seconds === null ? undefined : Number(seconds) * 1000);
  }
  const { data } = /** @type {{ data: [{ b64_json: string }] }} */ (await response.json());
  await writeFile(join(out, `${id}.png`), Buffer.from(data[0].b64_json, 'base64'));
}
