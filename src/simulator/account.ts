/** What the API knows of an account: its calls of the last window, and its credits. */
export interface Account {
  /** Counts a call; milliseconds until there is room again when it is one too many, else undefined. */
  count(now: number): number | undefined;
  /** Takes a credit; false when none is left. */
  reserve(): boolean;
  /** Gives back the credit of a call that is not charged. */
  release(): void;
}

/**
 * The limit is a sliding window in which every call counts, refused ones too: the strictest reading of the API's page.
 * Times are milliseconds of one clock that never goes back.
 */
export function createAccount(limit: number, windowMs: number, credits: number): Account {
  const counted: number[] = [];
  let left = credits;
  return {
    count: (now) => {
      while (counted[0] !== undefined && counted[0] < now - windowMs) counted.shift();
      counted.push(now);
      const blocking = counted.at(-limit - 1);
      return blocking === undefined ? undefined : (counted.at(-limit) ?? now) + windowMs - now;
    },
    reserve: () => left > 0 && left-- > 0,
    release: () => void left++,
  };
}

/** The accounts by name, made as they come. */
export function createAccounts(limit: number, windowMs: number, credits: number): (name: string) => Account {
  const accounts = new Map<string, Account>();
  return (name) => {
    const account = accounts.get(name) ?? createAccount(limit, windowMs, credits);
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
