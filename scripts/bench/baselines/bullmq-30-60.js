/** BullMQ with the API's limit as it is written: 30 in 60 s. */
// @ts-check
import { work } from './bullmq.js';
import { limit, windowMs } from './job.js';

await work({ max: limit, duration: windowMs });
