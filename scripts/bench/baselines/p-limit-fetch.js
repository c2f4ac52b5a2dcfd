/**
 * The script that most people begin with: so many calls at the same time, and a refused one waits as long as the API
 * says, else 1, 2, 4, 8 … seconds.
 */
// @ts-check
import { setTimeout as sleep } from 'node:timers/promises';
import pLimit from 'p-limit';
import { ApiError, edit } from './edit.js';
import { attempts, concurrency, readRows, second } from './job.js';

const atOnce = pLimit(concurrency);
const rows = await readRows();
await Promise.allSettled(rows.map((row) => atOnce(() => insist(row))));

/** @param {(typeof rows)[number]} row */
async function insist(row) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await edit(row);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 429 || attempt === attempts) throw error;
      await sleep(error.retryAfterMs ?? second * 2 ** (attempt - 1));
    }
  }
}
