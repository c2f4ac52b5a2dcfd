import sharp from 'sharp';
import { digest } from './digest.ts';
import { cutOut, type Box, type Raster } from './ground.ts';
import type { Pixels } from './pixels.ts';
import { paintScene, type Placed } from './scene.ts';

/** Stands in every picture's EXIF as its software. */
export const signature = "reshoot simulator: not the model's picture";

/** Scenes are painted at most this wide or high and then scaled: a simulator may be soft, it must not be slow. */
const workingSide = 768;
const maskSide = 256;
const pixelLimit = 100_000_000;

/**
 * An edit that one can see: the reference's object on a new ground whose hue comes from `motif`, as a JPEG of exactly
 * these pixels. A reference without a plain ground is shown whole before the new one; an address, which isn't fetched,
 * as a vase.
 * @throws Error when the reference does not decode
 */
export async function makePicture(
  reference: Buffer | string,
  pixels: Pixels,
  motif: string,
): Promise<Buffer> {
  const share = Math.min(1, workingSide / Math.max(pixels.width, pixels.height));
  const width = Math.max(1, Math.round(pixels.width * share));
  const height = Math.max(1, Math.round(pixels.height * share));
  const object = await placeObject(
    typeof reference === 'string' ? vase(reference) : reference,
    width,
    height,
  );
  const scene = paintScene(width, height, shareOf(motif), object);
  return sharp(scene, { raw: { width, height, channels: 3 } })
    .resize(pixels.width, pixels.height, { fit: 'fill', kernel: 'linear' })
    .jpeg({ quality: 85 })
    .withExif({ IFD0: { Software: signature } })
    .toBuffer();
}

interface Size {
  width: number;
  height: number;
}

interface Part extends Size {
  left: number;
  top: number;
}

async function placeObject(reference: Buffer, width: number, height: number): Promise<Placed> {
  const whole = await decode(reference);
  const small = await scaled(whole, 3, inside(whole, maskSide));
  const found = cutOut(small);
  const part = found
    ? grown(found.box, small)
    : { left: 0, top: 0, width: small.width, height: small.height };
  const box = enlarged(part, whole.width / small.width, whole.height / small.height);
  const size = inside(box, width * 0.72, height * 0.68);
  const mask = found && (await scaled({ ...small, data: found.mask }, 1, size, part));
  return {
    picture: await scaled(whole, 3, size, box),
    mask: mask?.data ?? Buffer.alloc(size.width * size.height, 255),
    ground: found?.ground,
    left: Math.floor((width - size.width) / 2),
    top: Math.max(0, Math.floor(height * 0.86) - size.height),
  };
}

/** Upright, without transparency, in eight bits a channel, and no larger than a scene. */
async function decode(reference: Buffer): Promise<Raster> {
  const { data, info } = await sharp(reference, { limitInputPixels: pixelLimit, failOn: 'truncated' })
    .autoOrient()
    .resize(workingSide, workingSide, { fit: 'inside', withoutEnlargement: true })
    .flatten({ background: '#fff' })
    .toColourspace('srgb')
    .removeAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** The raster, or a part of it, at another size. */
async function scaled(raster: Raster, channels: 1 | 3, size: Size, part?: Part): Promise<Raster> {
  const { width, height } = raster;
  const source = sharp(raster.data, { raw: { width, height, channels } });
  const { data, info } = await (part ? source.extract(part) : source)
    .resize(size.width, size.height, { fit: 'fill', kernel: 'cubic' })
    .toColourspace(channels === 1 ? 'b-w' : 'srgb')
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height };
}

/** The largest size of this shape within these sides. */
function inside({ width, height }: Size, most: number, mostHigh = most): Size {
  const scale = Math.min(most / width, mostHigh / height);
  return { width: Math.max(1, Math.round(width * scale)), height: Math.max(1, Math.round(height * scale)) };
}

/** The box with a margin of one pixel for the soft edge. */
function grown(box: Box, { width, height }: Size): Part {
  const left = Math.max(0, box.left - 1);
  const top = Math.max(0, box.top - 1);
  return {
    left,
    top,
    width: Math.min(width, box.right + 2) - left,
    height: Math.min(height, box.bottom + 2) - top,
  };
}

function enlarged(part: Part, sx: number, sy: number): Part {
  const left = Math.floor(part.left * sx);
  const top = Math.floor(part.top * sy);
  return {
    left,
    top,
    width: Math.max(1, Math.floor((part.left + part.width) * sx) - left),
    height: Math.max(1, Math.floor((part.top + part.height) * sy) - top),
  };
}

/** A number from 0 to 1 that is the same for the same text. */
function shareOf(text: string): number {
  return Number.parseInt(digest(text).slice(0, 8), 16) / 2 ** 32;
}

function vase(url: string): Buffer {
  const hue = Math.round(shareOf(url) * 360);
  return Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg" width="512" height="512">
    <linearGradient id="g"><stop stop-color="hsl(${hue},55%,42%)"/><stop offset=".35" stop-color="hsl(${hue},55%,68%)"/>
    <stop offset=".6" stop-color="hsl(${hue},55%,42%)"/><stop offset="1" stop-color="#333"/></linearGradient>
    <rect width="512" height="512" fill="#fff"/><path fill="url(#g)"
    d="M216 60h80v20q-16 40 16 80q70 70 50 170q-14 80-56 120h-100q-42-40-56-120q-20-100 50-170q32-40 16-80z"/></svg>`);
}
