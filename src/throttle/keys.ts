import { createHash } from 'node:crypto';

/** Names of the throttle's keys in Redis. All share one hash tag, so that one script may touch them on a cluster. */
export interface ThrottleKeys {
  /** When its requests began. */
  log(account: string): string;
  /** When its requests ended: a server may count them there. */
  ends(account: string): string;
  state(account: string): string;
  ledger(run: string): string;
  open(run: string): string;
  /** What is known of a Redis of the user's own. */
  server: string;
}

/** An account is one at one API origin: a simulator's limit is not the real one's. */
export function throttleKeys(namespace: string, origin: string): ThrottleKeys {
  const api = createHash('sha256').update(origin).digest('hex').slice(0, 8);
  const account = (name: string, what: string): string => `{${namespace}}:account:${api}:${name}:${what}`;
  const run = (id: string, what: string): string => `{${namespace}}:run:${id}:${what}`;
  return {
    log: (name) => account(name, 'log'),
    ends: (name) => account(name, 'ends'),
    state: (name) => account(name, 'state'),
    ledger: (id) => run(id, 'ledger'),
    open: (id) => run(id, 'open'),
    server: `{${namespace}}:account:server`,
  };
}

/** A call's entry in the logs of its account. Runs into different outputs name their calls alike. */
export const logEntry = (run: string, call: string): string => `${run}:${call}`;

/** What Redis must hold at a key of ours. */
export const kindOf = (key: string): 'zset' | 'hash' => (/:(log|ends|paid)$/.test(key) ? 'zset' : 'hash');
