const longest = 15 * 60_000;

/**
 * Milliseconds to wait, from a Retry-After header of seconds or of an HTTP date, at most 15 minutes. Undefined where it
 * says nothing usable: garbage, zero, the past.
 * @param now milliseconds since 1970
 */
export function retryAfterMs(header: string | string[] | undefined, now: number): number | undefined {
  const text = (Array.isArray(header) ? header[0] : header)?.trim() ?? '';
  const wait = /^\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : httpDate(text) - now;
  return wait > 0 ? Math.min(Math.ceil(wait), longest) : undefined;
}

/** `Date.parse` takes almost anything for a date, so only text that looks like an HTTP date gets there. */
function httpDate(text: string): number {
  return /^[A-Z][a-z]+,? .*\d\d:\d\d:\d\d/.test(text) ? Date.parse(text) : NaN;
}
