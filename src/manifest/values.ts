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

/** `1` or `2`; undefined where it is neither. */
export function readRoute(text: string): Route | undefined {
  const plain = text.trim();
  if (plain === '1') return 1;
  return plain === '2' ? 2 : undefined;
}

export const allowedSizes = `${tiers.join(', ')}, or width x height such as 1024x1024 (each side ${shortest} to ${longest})`;
export const allowedRatios = ratios.join(', ');
