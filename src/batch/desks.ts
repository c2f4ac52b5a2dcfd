import type { Config } from '../config.ts';
import type { Log } from '../log.ts';
import { bootOf } from '../owner.ts';
import { connect } from '../queue/connect.ts';
import { createDesk, type Desk } from '../queue/desk.ts';
import { openEmbedded, type Embedded } from '../queue/embedded.ts';
import { createQueue, type JobQueue } from '../queue/queue.ts';
import { createAccounts, sealLogs, type Accounts } from '../throttle/accounts.ts';
import { throttleKeys, type ThrottleKeys } from '../throttle/keys.ts';
import { createLedger, type Ledger } from '../throttle/ledger.ts';

/** What all commands and workers share in Redis. */
export interface Desks {
  redis: Embedded['redis'];
  keys: ThrottleKeys;
  desk: Desk;
  ledger: Ledger;
  queue: JobQueue;
  accounts: Accounts;
  /** Says goodbye to Redis; the private one ends with its last user. */
  leave(): Promise<void>;
}

/**
 * Opens the Redis that the settings name, else the user's own.
 * @param answerMs a command to Redis that takes longer fails; undefined: it waits for Redis as long as it takes
 * @throws UsageError when there is no redis-server
 * @throws SurroundingsError when Redis does not answer
 */
export async function openDesks(config: Config, log: Log, answerMs?: number): Promise<Desks> {
  const { namespace, rateLimit, rateWindowMs, baseUrl } = config;
  const { redis, leave } = await openRedis(config, log, answerMs);
  const keys = throttleKeys(namespace, baseUrl);
  const queue = createQueue(redis, namespace, log);
  // Where the key is kept away from this machine, the only account goes by its usual name.
  const names = config.accounts.length > 0 ? config.accounts.map(({ name }) => name) : ['default'];
  return {
    redis,
    keys,
    desk: createDesk(redis, namespace),
    ledger: createLedger(redis, keys, rateWindowMs, config.redisUrl === undefined ? bootOf() : undefined),
    queue,
    accounts: createAccounts(redis, keys, names, rateLimit, rateWindowMs),
    async leave() {
      await queue.close();
      await leave();
    },
  };
}

async function openRedis(
  config: Config,
  log: Log,
  answerMs: number | undefined,
): Promise<Pick<Embedded, 'redis' | 'leave'>> {
  if (config.redisUrl === undefined) return openEmbedded(config, log, answerMs, sealLogs);
  const redis = await connect(config.redisUrl, log, { answerMs });
  return {
    redis,
    leave: () => {
      redis.disconnect();
      return Promise.resolve();
    },
  };
}
