/** How calls are counted against a limit. The API's page says only "30 a minute", which may mean any of these. */
export type Counting = 'sliding' | 'aligned' | 'bucket';

/** Counts a call; milliseconds until there is room again when it is one too many, else undefined. */
export type Count = (now: number) => number | undefined;

/**
 * Counts one account's calls. Times are epoch milliseconds of one clock that never goes back.
 * - `sliding`: at most the limit in any window; a refused call counts too, so that hammering never gets through.
 * - `aligned`: windows of the server's clock, from one multiple of their length to the next; a refused call counts too,
 *   which changes nothing, since its window is full.
 * - `bucket`: holds `limit` calls and is refilled with as many a window, steadily; a refused call takes nothing.
 */
export function createCount(counting: Counting, limit: number, windowMs: number): Count {
  return { sliding, aligned, bucket }[counting](limit, windowMs);
}

function sliding(limit: number, windowMs: number): Count {
  const counted: number[] = [];
  return (now) => {
    while (counted[0] !== undefined && counted[0] < now - windowMs) counted.shift();
    counted.push(now);
    const blocking = counted.at(-limit - 1);
    return blocking === undefined ? undefined : (counted.at(-limit) ?? now) + windowMs - now;
  };
}

function aligned(limit: number, windowMs: number): Count {
  let current = 0;
  let calls = 0;
  return (now) => {
    const window = Math.floor(now / windowMs);
    if (window !== current) calls = 0;
    current = window;
    calls += 1;
    return calls <= limit ? undefined : (window + 1) * windowMs - now;
  };
}

function bucket(limit: number, windowMs: number): Count {
  let left = limit;
  let filledAt = 0;
  return (now) => {
    left = Math.min(limit, left + ((now - filledAt) * limit) / windowMs);
    filledAt = now;
    if (left < 1) return ((1 - left) * windowMs) / limit;
    left -= 1;
    return undefined;
  };
}
