import { createCount, type Count, type Counting } from './counting.ts';

/** What the API knows of an account: its latest calls, and its credits. */
export interface Account {
  count: Count;
  /** Takes a credit; false when none is left. */
  reserve(): boolean;
  /** Gives back the credit of a call that is not charged. */
  release(): void;
}

/** A limit on calls as a server keeps it. */
export interface Limit {
  counting: Counting;
  /** Calls in `windowMs`. */
  limit: number;
  windowMs: number;
}

export function createAccount({ counting, limit, windowMs }: Limit, credits: number): Account {
  let left = credits;
  return {
    count: createCount(counting, limit, windowMs),
    reserve: () => left > 0 && left-- > 0,
    release: () => void left++,
  };
}

/** The accounts by name, made as they come. */
export function createAccounts(limit: Limit, credits: number): (name: string) => Account {
  const accounts = new Map<string, Account>();
  return (name) => {
    const account = accounts.get(name) ?? createAccount(limit, credits);
    accounts.set(name, account);
    return account;
  };
}

/**
 * The account of a key `sk_live_<account>` or `sk_live_<account>-<anything>`, so that two keys can be one account's;
 * undefined for any other key.
 */
export function accountOf(authorization: string | undefined): string | undefined {
  return /^Bearer sk_live_([^-\s]+)(?:-\S*)?$/.exec(authorization ?? '')?.[1];
}
