/** What every baseline is told: the rows of a CSV, a folder for the pictures, and by the environment the rest. */
// @ts-check
import { readFile } from 'node:fs/promises';
import { parse } from 'csv-parse/sync';

const { env } = process;
const [manifest = '', folder = ''] = process.argv.slice(2);

export const out = folder;
export const api = { url: env['API_URL'] ?? '', key: env['API_KEY'] ?? '' };
export const redisUrl = env['REDIS_URL'] ?? '';
/** Calls at the same time: enough to use the whole limit. */
export const concurrency = Number(env['CONCURRENCY']);
/** The API's limit: so many calls in so many milliseconds. */
export const limit = Number(env['LIMIT']);
export const windowMs = Number(env['WINDOW_MS']);
/** Milliseconds that stand for a second: a sixtieth of the window, which is the API's minute scaled down. */
export const second = windowMs / 60;
/** So often a row is tried before it is given up. */
export const attempts = 10;

/** @returns {Promise<{ id: string, image: string, prompt: string, size: string }[]>} */
export async function readRows() {
  return parse(await readFile(manifest), { columns: true });
}
