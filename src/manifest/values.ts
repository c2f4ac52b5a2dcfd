import { ratios, tiers, type Ratio, type Route } from '../model.ts';

/** Sides of a plain size in pixels. */
const shortest = 16;
const longest = 8192;

/** A tier in any case, or `<width>x<height>`, as the API writes it; undefined where it is neither. */
export function readSize(text: string): string | undefined {
  const tier = tiers.find((tier) => tier === text.trim().toUpperCase());
  if (tier) return tier;
  const sides = /^(\d{1,5})\s*[x×*]\s*(\d{1,5})$/i.exec(text.trim())?.slice(1).map(Number);
  return sides?.every((side) => side >= shortest && side <= longest) ? sides.join('x') : undefined;
}

/** One of the API's ratios, with any kind of colon; undefined where it is none. */
export function readRatio(text: string): Ratio | undefined {
  const plain = text.replaceAll(/\s/g, '').replace('：', ':');
  return ratios.find((ratio) => ratio === plain);
}

/** So much may a plain size's sides be off a ratio: 1366x768 is 16:9. */
const tolerance = 0.02;

/** Does a plain size have other sides than the ratio says? A tier never does. */
export function contradicts(size: string, ratio: Ratio): boolean {
  const [width = 0, height = 0] = size.split('x').map(Number);
  const [wide = 0, high = 0] = ratio.split(':').map(Number);
  return size.includes('x') && Math.abs((width * high) / (height * wide) - 1) > tolerance;
}

/** The ratio that a plain size has, where it is one of the API's. */
export function ratioOf(size: string): Ratio | undefined {
  return size.includes('x') ? ratios.find((ratio) => !contradicts(size, ratio)) : undefined;
}

/** `1` or `2`; undefined where it is neither. */
export function readRoute(text: string): Route | undefined {
  const plain = text.trim();
  if (plain === '1') return 1;
  return plain === '2' ? 2 : undefined;
}

export const allowedSizes = `${tiers.join(', ')}, or width x height such as 1024x1024 (each side ${shortest} to ${longest})`;
export const allowedRatios = ratios.join(', ');
