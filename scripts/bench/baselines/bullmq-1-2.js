/** BullMQ with the API's limit spread evenly: 1 in 2 s. */
// @ts-check
import { work } from './bullmq.js';
import { limit, windowMs } from './job.js';

await work({ max: 1, duration: Math.ceil(windowMs / limit) });
