/**
 * When a day begins where its clocks are set.
 * @param at a moment of the day, epoch milliseconds
 * @param zone of the IANA list, such as `Europe/Berlin`
 * @returns its first moment, epoch milliseconds
 */
export function dayBegan(at: number, zone: string): number {
  const date = dates(zone);
  const today = date(at);
  // No day is longer than 25 hours, unless its zone changed sides of the date line.
  let [before, within] = [at - 50 * 3_600_000, at];
  while (within - before > 1) {
    const middle = Math.floor((before + within) / 2);
    if (date(middle) === today) within = middle;
    else before = middle;
  }
  return within;
}

/** When the next day begins. Epoch milliseconds. */
export function dayEnds(at: number, zone: string): number {
  const date = dates(zone);
  const today = date(at);
  let [within, after] = [at, at + 50 * 3_600_000];
  while (after - within > 1) {
    const middle = Math.floor((within + after) / 2);
    if (date(middle) === today) within = middle;
    else after = middle;
  }
  return after;
}

const formats = new Map<string, Intl.DateTimeFormat>();

function dates(zone: string): (at: number) => string {
  const options = { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' } as const;
  const format = formats.get(zone) ?? new Intl.DateTimeFormat('en-CA', options);
  formats.set(zone, format);
  return (at) => format.format(at);
}
