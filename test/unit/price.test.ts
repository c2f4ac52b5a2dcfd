import { describe, expect, it } from 'vitest';
import { costOf, costText, readPrice } from '../../src/commands/price.ts';

const price = (text: string) => readPrice(text)!;

describe('a price', () => {
  it('is a plain number with or without a currency, and nothing else', () => {
    expect(readPrice('0.04')).toEqual({ units: 4, decimals: 2, currency: '' });
    expect(readPrice(' 0.285 元')).toEqual({ units: 285, decimals: 3, currency: '元' });
    expect(readPrice('2€')).toEqual({ units: 2, decimals: 0, currency: '€' });
    for (const text of ['', 'USD', '0,04', '-1', '1e3', '.5', '4 US dollars', '1234567']) {
      expect(readPrice(text), text).toBeUndefined();
    }
  });

  it('adds up exactly, to the cent at least', () => {
    expect(costOf(3, price('0.1'))).toBe('0.30');
    expect(costOf(12_000, price('0.285'))).toBe('3420.000');
    expect(costOf(999_999_999, price('0.07'))).toBe('69999999.93');
    expect(costText(30, 43, price('0.04 USD'))).toBe('1.20 to 1.72 USD');
    expect(costText(0, 0, price('2'))).toBe('0.00');
  });
});
