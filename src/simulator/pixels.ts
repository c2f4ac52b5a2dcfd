import { ratios, type Ratio } from '../model.ts';

export interface Pixels {
  width: number;
  height: number;
}

/** The longest side of a plain `WxH` that the simulator draws. */
export const longestSide = 8192;

/**
 * What a tier and a ratio come to. An assumption: the API's own table is on a page that we don't have, so nothing may
 * rely on these numbers.
 */
export const assumedPixels = {
  '1K': shapes(1024, [1280, 720], [1152, 864]),
  '2K': shapes(2048, [2560, 1440], [2304, 1728]),
  '4K': shapes(2880, [3840, 2160], [3264, 2448]),
} as const;

function shapes(square: number, wide: [number, number], classic: [number, number]): Record<Ratio, Pixels> {
  return {
    '1:1': { width: square, height: square },
    '16:9': { width: wide[0], height: wide[1] },
    '9:16': { width: wide[1], height: wide[0] },
    '4:3': { width: classic[0], height: classic[1] },
    '3:4': { width: classic[1], height: classic[0] },
  };
}

/** The pixels asked for; undefined where `size` is neither a tier nor a `WxH` within `longestSide`. */
export function pixelsOf(size: string, ratio: Ratio): Pixels | undefined {
  if (isTier(size)) return assumedPixels[size][ratio];
  const match = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(size);
  if (!match) return undefined;
  const pixels = { width: Number(match[1]), height: Number(match[2]) };
  return Math.max(pixels.width, pixels.height) <= longestSide ? pixels : undefined;
}

export function isRatio(text: unknown): text is Ratio {
  return ratios.some((ratio) => ratio === text);
}

function isTier(size: string): size is keyof typeof assumedPixels {
  return Object.hasOwn(assumedPixels, size);
}
