import { Redis } from 'ioredis';
import { SurroundingsError, toError, UsageError } from '../errors.ts';
import type { Log } from '../log.ts';

/** How long the first word with Redis may take. Later on, commands wait until it is back. */
const helloMs = 5000;

export interface ConnectOptions {
  name?: string;
  answerMs?: number | undefined;
}

/**
 * A connection that has answered once.
 * @param address a `redis://` or `rediss://` address, or the absolute path of a unix socket
 * @param options `name`: shown in the server's list of clients; `answerMs`: a command that takes longer fails
 * @throws SurroundingsError naming the server, never its password
 * @throws UsageError when it is too old
 */
export async function connect(
  address: string,
  log: Log,
  { name, answerMs }: ConnectOptions = {},
): Promise<Redis> {
  const isSocket = address.startsWith('/');
  const options = {
    lazyConnect: true,
    maxRetriesPerRequest: null,
    connectTimeout: helloMs,
    disconnectTimeout: 100,
    retryStrategy: (times: number) => Math.min(times * 100, 2000),
    // A replica that was promoted elsewhere: the old connection still leads to the demoted one.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
    ...(name !== undefined && { connectionName: name }),
    ...(answerMs !== undefined && { commandTimeout: answerMs }),
  };
  // As an address, a path that holds a question mark would be cut there.
  const redis = isSocket ? new Redis({ ...options, path: address }) : new Redis(address, options);
  redis.on('error', (error) => log.debug({ error: toError(error).message }, 'redis'));
  const hello = async (): Promise<string> => {
    await redis.connect();
    return redis.info('server');
  };
  try {
    expectVersion(await withDeadline(hello(), helloMs), publicAddress(address));
    return redis;
  } catch (error) {
    redis.disconnect();
    if (error instanceof UsageError) throw error;
    const hint = isSocket ? '' : ' Is it running? Is REDIS_URL right (address, password, TLS)?';
    throw new SurroundingsError(
      `Redis at ${publicAddress(address)} does not answer: ${toError(error).message.replace(/\.$/, '')}.${hint}`,
      { cause: error },
    );
  }
}

function expectVersion(info: string, address: string): void {
  const [, version = '', major, minor] = /^redis_version:((\d+)\.(\d+)\S*)/m.exec(info) ?? [];
  if (Number(major) > 6 || (Number(major) === 6 && Number(minor) >= 2)) return;
  throw new UsageError(`Redis at ${address} is version ${version || 'unknown'}: reshoot needs 6.2 or newer`);
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
