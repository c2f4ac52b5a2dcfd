/** What a forecast goes by. Times are milliseconds; `…Ago` counts backwards from now. */
export interface ForecastLoad {
  /** The accounts that may work; parked ones are left out. */
  accounts: ForecastAccount[];
  /** Window and guard: a send frees its place in the log after this much. */
  widthMs: number;
  /** Rows not settled of which no call is out. */
  waiting: number;
  /** Calls that are out. */
  inFlight: number;
  /** Mean time of a call; undefined before the first answer. */
  latencyMs: number | undefined;
  /** Share of the calls that were followed by another of the same row: (ended calls - settled rows) / ended calls. */
  again: number;
  /** Wait before such a further call. */
  againAfterMs: number;
  /** Calls that may be out at the same time, in all processes; undefined: as many as the limit lets out. */
  capacity: number | undefined;
}

interface ForecastAccount {
  /** The sends that are still in its log, in any order. */
  sentAgo: number[];
  /** Calls in a window, as they are admitted at present. */
  limit: number;
  /** It sends nothing for this much longer. */
  pausedMs: number;
}

/** However bad the first answers are: with a larger share the calls of a run would have no end. */
const mostAgain = 0.9;

/**
 * How long until the last call ends. A log of the last window gives its slots back in bursts, so that "calls left by
 * rate" is wrong by up to a window and a latency; here every call left takes its own slot of the log as it is now.
 * Takes time in proportion to the calls.
 * @returns milliseconds; undefined: nobody can say, since no call has ended yet or no account may work
 */
export function forecast(load: ForecastLoad): number | undefined {
  const { waiting, inFlight, latencyMs, againAfterMs, capacity = Infinity } = load;
  if (waiting + inFlight <= 0) return 0;
  if (latencyMs === undefined) return undefined;
  const accounts = load.accounts.filter(({ limit }) => limit > 0).map((account) => slotsOf(account, load));
  if (accounts.length === 0) return undefined;

  const again = Math.min(load.again, mostAgain);
  // Every call's end, the earliest first: calls take equally long, so they end in the order in which they start.
  const ends = endsOfInFlight(load, latencyMs);
  let fresh = waiting;
  let seen = 0;
  // Of so many calls so many are repeated: the halves are rounded.
  let repeats = 0.5;
  for (;;) {
    let readyAt = 0;
    if (fresh > 0) {
      fresh -= 1;
    } else {
      while (repeats < 1 && seen < ends.length) {
        repeats += again;
        seen += 1;
      }
      if (repeats < 1) return Math.max(0, ends.at(-1) ?? 0);
      repeats -= 1;
      readyAt = (ends[seen - 1] ?? 0) + againAfterMs;
    }
    const placeAt = ends[ends.length - Math.max(1, capacity)] ?? 0;
    const account = accounts.reduce((best, next) => (next.freeAt() < best.freeAt() ? next : best));
    const startAt = Math.max(0, readyAt, placeAt, account.freeAt());
    account.take(startAt);
    ends.push(startAt + latencyMs);
  }
}

/** An account's log as a ring: the next slot is free a width after the send that is `limit` sends back. */
function slotsOf({ sentAgo, limit, pausedMs }: ForecastAccount, { widthMs }: ForecastLoad) {
  const ring = new Float64Array(limit).fill(-Infinity);
  const latest = sentAgo.toSorted((a, b) => b - a).slice(-limit);
  latest.forEach((ago, i) => (ring[limit - latest.length + i] = -ago));
  let next = 0;
  return {
    freeAt: (): number => Math.max(pausedMs, (ring[next] ?? 0) + widthMs),
    take: (at: number): void => {
      ring[next] = at;
      next = (next + 1) % limit;
    },
  };
}

/** The calls in flight are the latest sends; those that have left the log lie evenly between its width and a latency. */
function endsOfInFlight({ accounts, inFlight, widthMs }: ForecastLoad, latencyMs: number): number[] {
  const known = accounts
    .flatMap(({ sentAgo }) => sentAgo)
    .toSorted((a, b) => a - b)
    .slice(0, inFlight);
  const older = inFlight - known.length;
  const span = Math.max(0, latencyMs - widthMs);
  const ages = Array.from({ length: older }, (_, i) => widthMs + ((i + 0.5) / older) * span);
  return [...known, ...ages].map((age) => Math.max(0, latencyMs - age)).toSorted((a, b) => a - b);
}
