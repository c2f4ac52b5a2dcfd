/** A BullMQ queue and its worker in one process. A refused row goes through BullMQ's own attempts and backoff. */
// @ts-check
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { edit } from './edit.js';
import { attempts, concurrency, readRows, redisUrl, second } from './job.js';

/** @param {{ max: number, duration: number }} limiter */
export async function work(limiter) {
  const connection = new Redis(redisUrl, { maxRetriesPerRequest: null });
  const queue = new Queue('pictures', { connection });
  const rows = await readRows();
  const opts = { attempts, backoff: { type: 'exponential', delay: second }, removeOnComplete: true };
  await queue.addBulk(rows.map((data) => ({ name: 'edit', data, opts })));

  const worker = new Worker('pictures', ({ data }) => edit(data), { connection, concurrency, limiter });
  let left = rows.length;
  await new Promise((resolve) => {
    const settled = () => --left === 0 && resolve(undefined);
    worker.on('completed', settled);
    worker.on('failed', (job) => (job?.attemptsMade ?? attempts) >= attempts && settled());
  });
  await worker.close();
  await queue.close();
  await connection.quit();
}
