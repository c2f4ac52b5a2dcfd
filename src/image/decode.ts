import { readFile } from 'node:fs/promises';
import sharp, { type Sharp, type SharpOptions } from 'sharp';
import { toError } from '../errors.ts';
import type { PictureFacts } from '../model.ts';
import { describeContent, pictureKind, type Kind } from './kind.ts';
import { shrink, type Original, type Shrunk } from './shrink.ts';

/** What the helper process says of a picture: facts, a fault of the picture, or a fault of the machine. */
export type Verdict =
  | { facts: PictureFacts }
  | { code: 'not_a_picture' | 'cut_picture'; message: string }
  | { fault: string };

/** What the helper process is asked for, one thing at a time. */
export type Request = { judge: string } | { shrink: Original };

/** Larger pictures are taken at their header's word: their decoding could cost more memory than there is. */
const maxPixels = 100_000_000;

const decodable = new Set(['jpg', 'png', 'webp', 'gif', 'avif', 'tif']);
const loaders = ['Jpeg', 'Png', 'Webp', 'Nsgif', 'Heif', 'Tiff'];

/** The end of every whole PNG: its IEND chunk with the checksum. */
const pngEnd = Buffer.from('IEND\xAE\x42\x60\x82', 'latin1');

/** The end of every whole JPEG; its pixels never hold these two bytes. */
const jpegEnd = Buffer.from([0xff, 0xd9]);

/**
 * Prepares this process's libvips for pictures of strangers and returns what answers a request, which never throws.
 * Runs only in the helper process, since a picture may kill its decoder.
 */
export function createDecoder(): (request: Request) => Promise<Verdict | Shrunk> {
  sharp.concurrency(1);
  sharp.cache(false);
  sharp.block({ operation: ['VipsForeignLoad'] });
  sharp.unblock({ operation: loaders.map((name) => `VipsForeignLoad${name}Buffer`) });
  return (request) => ('judge' in request ? judgeFile(request.judge) : shrink(request.shrink));
}

async function judgeFile(file: string): Promise<Verdict> {
  try {
    return await judge(await readFile(file));
  } catch (error) {
    return { fault: toError(error).message };
  }
}

async function judge(bytes: Buffer): Promise<Verdict> {
  const kind = pictureKind(bytes);
  if (!kind) return { code: 'not_a_picture', message: `the content is ${describeContent(bytes)}` };
  if (!decodable.has(kind.ext)) return { facts: await believe(bytes, kind) };
  try {
    return { facts: await decode(bytes, kind) };
  } catch (error) {
    const reason = toError(error).message.split('\n', 1)[0]?.trim();
    return { code: 'cut_picture', message: `the ${kind.mime} does not decode to its end: ${reason}` };
  }
}

/** A type that this libvips cannot decode; of some it can at least read the header. */
async function believe(bytes: Buffer, kind: Kind): Promise<PictureFacts> {
  const unknown = { width: 0, height: 0 };
  const { width, height } = await headerOf(bytes).catch(() => unknown);
  return { ...kind, width, height, verified: false };
}

async function decode(bytes: Buffer, kind: Kind): Promise<PictureFacts> {
  // libpng is content when all pixels are there; a file without its end was cut nevertheless.
  if (kind.ext === 'png' && bytes.lastIndexOf(pngEnd) < 0) throw new Error('the IEND chunk is missing');
  // libjpeg notices the missing end only where it still looks for pixels: in eleven of twelve such files.
  if (kind.ext === 'jpg' && bytes.lastIndexOf(jpegEnd) < 0) throw new Error('the EOI marker is missing');
  const { width, height } = await headerOf(bytes);
  const verified = width * height <= maxPixels;
  if (verified) await readAllRows(bytes);
  return { ...kind, width, height, verified };
}

function headerOf(bytes: Buffer): Promise<{ width: number; height: number }> {
  return open(bytes, { limitInputPixels: false }).metadata();
}

/** `stats()` overlooks a cut interlaced PNG; averaging to one pixel asks for every row and holds only a few of them. */
async function readAllRows(bytes: Buffer): Promise<void> {
  await open(bytes, { limitInputPixels: maxPixels })
    .resize(1, 1, { fit: 'fill', fastShrinkOnLoad: false })
    .raw()
    .toBuffer();
}

/** `error`, not `warning`: it finds every cut as well, and a paid picture isn't lost over an odd colour profile. */
function open(bytes: Buffer, options: SharpOptions): Sharp {
  return sharp(bytes, { failOn: 'error', sequentialRead: true, ignoreIcc: true, ...options });
}
