/**
 * Bottleneck as its README shows a limit for several processes: a reservoir in Redis, filled up at every window. A refused
 * row is tried again as late as the API says, else 1, 2, 4, 8 … seconds later.
 */
// @ts-check
import Bottleneck from 'bottleneck';
import { Redis } from 'ioredis';
import { ApiError, edit } from './edit.js';
import { attempts, concurrency, limit, readRows, redisUrl, second, windowMs } from './job.js';

const connection = new Bottleneck.IORedisConnection({ client: new Redis(redisUrl) });
const limiter = new Bottleneck({
  id: 'pictures',
  connection,
  maxConcurrent: concurrency,
  reservoir: limit,
  reservoirRefreshAmount: limit,
  reservoirRefreshInterval: windowMs,
});
limiter.on('failed', (error, { retryCount }) => {
  if (!(error instanceof ApiError) || error.status !== 429 || retryCount + 1 >= attempts) return undefined;
  return error.retryAfterMs ?? second * 2 ** retryCount;
});

const rows = await readRows();
await Promise.allSettled(rows.map((row) => limiter.schedule(() => edit(row))));
await connection.disconnect();
