import { Redis } from 'ioredis';
import { SurroundingsError, toError } from '../errors.ts';
import type { Log } from '../log.ts';

/** How long the first word with Redis may take. Later on, commands wait until it is back. */
const helloMs = 5000;

/**
 * A connection that has answered once.
 * @param address a `redis://` or `rediss://` address, or the path of a unix socket
 * @throws SurroundingsError naming the server, never its password
 */
export async function connect(address: string, log: Log): Promise<Redis> {
  const redis = new Redis(address, {
    lazyConnect: true,
    maxRetriesPerRequest: null,
    connectTimeout: helloMs,
    disconnectTimeout: 100,
    retryStrategy: (times) => Math.min(times * 100, 2000),
    // A replica that was promoted elsewhere: the old connection still leads to the demoted one.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  });
  redis.on('error', (error) => log.debug({ error: toError(error).message }, 'redis'));
  try {
    await withDeadline(redis.connect(), helloMs);
    await withDeadline(redis.ping(), helloMs);
    return redis;
  } catch (error) {
    redis.disconnect();
    throw new SurroundingsError(
      `Redis at ${publicAddress(address)} does not answer: ${toError(error).message.replace(/\.$/, '')}. ` +
        'Is it running? Is REDIS_URL right (address, password, TLS)?',
      { cause: error },
    );
  }
}

/** The address without user and password. */
function publicAddress(address: string): string {
  if (!URL.canParse(address)) return address;
  const { protocol, host, pathname } = new URL(address);
  return `${protocol}//${host}${pathname}`;
}

/** @throws Error when the work takes longer */
export async function withDeadline<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
