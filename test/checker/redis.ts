import { Redis } from 'ioredis';
import type { Files } from './scene.ts';

/** Every key of a Redis with its value; none where there is no such server any more, or it doesn't answer. */
export async function dumpOf(url: string | undefined): Promise<Files> {
  const values = new Map<string, Buffer>();
  if (url === undefined) return values;
  const limits = { connectTimeout: 500, commandTimeout: 1000, maxRetriesPerRequest: 0 };
  const redis = new Redis(url, { ...limits, lazyConnect: true, retryStrategy: () => null });
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    // Or a long text would look different.
    await redis.config('SET', 'rdbcompression', 'no');
    const names = await redis.keys('*');
    const dumps = await Promise.all(names.map((name) => redis.dumpBuffer(name)));
    for (const [i, name] of names.entries()) values.set(name, dumps[i] ?? Buffer.alloc(0));
  } catch {
    // A test may have ended it, or made it silent.
  } finally {
    redis.disconnect();
  }
  return values;
}
