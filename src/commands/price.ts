/** What a credit costs: so many units of which `10 ** decimals` make one of the currency, so that sums stay exact. */
export interface Price {
  units: number;
  decimals: number;
  /** As the user wrote it; empty where nothing was written. */
  currency: string;
}

const pattern = /^(\d{1,6})(?:\.(\d{1,6}))?(?:\s*([\p{L}\p{Sc}]{1,12}))?$/u;

/** `0.04`, `0.04 USD` or `0.3元`; undefined where the text says something else. */
export function readPrice(text: string): Price | undefined {
  const [, whole, fraction = '', currency = ''] = pattern.exec(text.trim()) ?? [];
  if (whole === undefined) return undefined;
  return { units: Number(whole + fraction), decimals: fraction.length, currency };
}

/** What so many credits cost, to the cent at least: `12.40`. */
export function costOf(credits: number, { units, decimals }: Price): string {
  return ((credits * units) / 10 ** decimals).toFixed(Math.max(2, decimals));
}

/** `4.00 to 4.40 USD`. */
export function costText(least: number, most: number, price: Price): string {
  const range = [...new Set([least, most])].map((credits) => costOf(credits, price)).join(' to ');
  return price.currency === '' ? range : `${range} ${price.currency}`;
}
