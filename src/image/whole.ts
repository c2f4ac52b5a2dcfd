import sharp, { type Sharp, type SharpOptions } from 'sharp';
import type { Kind } from './kind.ts';

/** Larger pictures are taken at their header's word: their decoding could cost more memory than there is. */
export const mostVerifiedPixels = 100_000_000;

/** Types that the libvips of sharp decodes. */
export const decodable = new Set(['jpg', 'png', 'webp', 'gif', 'avif', 'tif']);

/** The end of every whole PNG: its IEND chunk with the checksum. */
const pngEnd = Buffer.from('IEND\xAE\x42\x60\x82', 'latin1');

/** The end of every whole JPEG; its pixels never hold these two bytes. */
const jpegEnd = Buffer.from([0xff, 0xd9]);

/**
 * Decodes a picture to its last row.
 * @throws Error for one that is cut or damaged, or of more pixels than that
 */
export async function decodeAll(bytes: Buffer, kind: Kind, maxPixels: number): Promise<void> {
  expectEnd(bytes, kind);
  // `stats()` overlooks a cut interlaced PNG; averaging to one pixel asks for every row and holds only a few of them.
  await openPicture(bytes, { limitInputPixels: maxPixels })
    .resize(1, 1, { fit: 'fill', fastShrinkOnLoad: false })
    .raw()
    .toBuffer();
}

/** @throws Error for a file whose last bytes are missing */
export function expectEnd(bytes: Buffer, { ext }: Kind): void {
  // libpng is content when all pixels are there; a file without its end was cut nevertheless.
  if (ext === 'png' && bytes.lastIndexOf(pngEnd) < 0) throw new Error('the IEND chunk is missing');
  // libjpeg notices the missing end only where it still looks for pixels: in eleven of twelve such files.
  if (ext === 'jpg' && bytes.lastIndexOf(jpegEnd) < 0) throw new Error('the EOI marker is missing');
}

/** `error`, not `warning`: it finds every cut as well, and a picture isn't lost over an odd colour profile. */
export function openPicture(bytes: Buffer, options: SharpOptions): Sharp {
  return sharp(bytes, { failOn: 'error', sequentialRead: true, ignoreIcc: true, ...options });
}
