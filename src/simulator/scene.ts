import { distance, type Colour, type Raster } from './ground.ts';

/** An object ready to be placed: its pixels, a mask of the same size, and the ground that still clings to its edges. */
export interface Placed {
  picture: Raster;
  mask: Buffer;
  /** Undefined: the mask alone decides. */
  ground: Colour | undefined;
  left: number;
  top: number;
}

/** The floor begins here, as a share of the height. */
const horizon = 0.7;

/** Paints a wall and a floor of one hue (0 to 1), and on them the object with its shadow. */
export function paintScene(width: number, height: number, hue: number, object: Placed): Buffer {
  const canvas = paintGround(width, height, hue, object);
  paintObject(canvas, width, object);
  return canvas;
}

function paintGround(width: number, height: number, hue: number, object: Placed): Buffer {
  const canvas = Buffer.allocUnsafe(width * height * 3);
  const shade = shadowOf(object);
  for (let y = 0, at = 0; y < height; y++) {
    const [r, g, b] = rowColour(y / height, hue);
    const middle = 1 - 0.35 * (y / height - 0.45) ** 2;
    const dark = shade(y);
    for (let x = 0; x < width; x++) {
      const aside = x / width - 0.5;
      const light = (middle - 0.35 * aside * aside) * (dark ? dark(x) : 1);
      canvas[at++] = r * light;
      canvas[at++] = g * light;
      canvas[at++] = b * light;
    }
  }
  return canvas;
}

function rowColour(y: number, hue: number): Colour {
  const floor = smoothstep(horizon - 0.02, horizon + 0.02, y);
  const wall = hsl(hue, 0.42, 0.6 + 0.22 * y);
  const ground = hsl(hue, 0.34, 0.86 - 0.3 * Math.max(y - horizon, 0));
  return [0, 1, 2].map((i) => (wall[i] ?? 0) * (1 - floor) + (ground[i] ?? 0) * floor) as Colour;
}

/** How much light the ground keeps, by row and there by column: less in a soft ellipse where the object stands. */
function shadowOf({ picture, left, top }: Placed): (y: number) => ((x: number) => number) | undefined {
  const foot = top + picture.height * 0.985;
  const rx = picture.width * 0.5;
  const ry = 4 + picture.width * 0.05;
  return (y) => {
    const dy = ((y - foot) / ry) ** 2;
    return dy > 4 ? undefined : (x) => 1 - 0.45 * Math.exp(-1.5 * (dy + ((x - left) / rx - 1) ** 2));
  };
}

function paintObject(canvas: Buffer, width: number, object: Placed): void {
  const { picture, mask, left, top } = object;
  for (let at = 0; at < mask.length; at++) {
    const alpha = alphaAt(object, at);
    if (alpha === 0) continue;
    const x = left + (at % picture.width);
    const y = top + Math.floor(at / picture.width);
    for (let channel = 0; channel < 3; channel++) {
      const to = (y * width + x) * 3 + channel;
      const own = ownColour(picture.data[at * 3 + channel] ?? 0, object.ground?.[channel], alpha);
      canvas[to] = own * alpha + (canvas[to] ?? 0) * (1 - alpha);
    }
  }
}

/** At the mask's soft edge the full picture's colours say more exactly where the object ends. */
function alphaAt({ picture, mask, ground }: Placed, at: number): number {
  const inside = (mask[at] ?? 0) / 255;
  if (!ground || inside > 0.97 || inside < 0.04) return inside < 0.04 ? 0 : inside;
  return Math.min(inside * 2.5, 1) * smoothstep(12, 64, distance(picture.data, at * 3, ground));
}

/** A pixel's colour without the share of the old ground that shines through it. */
function ownColour(seen: number, ground: number | undefined, alpha: number): number {
  if (ground === undefined || alpha === 1) return seen;
  return Math.min(Math.max((seen - (1 - alpha) * ground) / alpha, 0), 255);
}

function smoothstep(from: number, to: number, value: number): number {
  const t = Math.min(Math.max((value - from) / (to - from), 0), 1);
  return t * t * (3 - 2 * t);
}

/** All from 0 to 1; the colour in bytes. */
function hsl(hue: number, saturation: number, lightness: number): Colour {
  const reach = saturation * Math.min(lightness, 1 - lightness);
  return [0, 8, 4].map((n) => {
    const k = (n + hue * 12) % 12;
    return 255 * (lightness - reach * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
  }) as Colour;
}
