import { open as openFile } from 'node:fs/promises';
import { parse } from 'icc';
import sharp, { type Sharp } from 'sharp';
import { EditError, toError } from '../errors.ts';
import type { Source } from '../model.ts';
import { describeContent, headBytes, pictureKind, type Kind } from './kind.ts';
import { maxPixels, needsOf, pixelFlaw, type Fit, type Header, type Need, type Refusal } from './needs.ts';
import { readPicture } from './read.ts';
import { withoutMetadata } from './strip.ts';
import { decodable, decodeAll, expectEnd } from './whole.ts';

/** A picture ready to be sent. */
export interface Prepared {
  bytes: Buffer;
  /** The file as it was read. */
  source: Source;
  /** What was done to it, in words; empty: its bytes are the file's. */
  changes: string[];
}

export interface PrepareOrder extends Fit {
  path: string;
  /** Refuse what would have to be changed. */
  strict: boolean;
}

/** What a header alone tells: what would be done to a picture, or why it can't be sent. */
export type Inspected = { needs: Need[] } | Refusal;

/** A picture by its path, or its content. */
export type Subject = string | Buffer;

/** Of first and only use where nothing is lost by it; the others are tried one after the other until it is small enough. */
interface Encoding {
  name: string;
  encode(picture: Sharp): Sharp;
}

const png: Encoding = { name: 'PNG', encode: (picture) => picture.png() };
const jpeg = (quality: number, chromaSubsampling = '4:2:0'): Encoding => ({
  name: `JPEG of quality ${quality}`,
  encode: (picture) => picture.jpeg({ quality, chromaSubsampling, mozjpeg: false }),
});
const webp = (quality: number): Encoding => ({
  name: `WebP of quality ${quality}`,
  encode: (picture) => picture.webp({ quality }),
});

/** Looks at headers only; never throws. Runs only in the helper process. */
export async function inspect(subject: Subject, fit: Fit): Promise<Inspected> {
  try {
    const header = typeof subject === 'string' ? await headerOfFile(subject) : await headerOf(subject);
    return { needs: needsOf(header, fit) };
  } catch (error) {
    return asRefusal(error);
  }
}

/** Reads a picture once and makes of it what can be sent; never throws. Runs only in the helper process. */
export async function prepare({ path, strict, ...fit }: PrepareOrder): Promise<Prepared | Refusal> {
  try {
    const { bytes, source } = await readPicture({ path });
    const header = await headerOf(bytes).catch((error: unknown) => {
      const refusal = asRefusal(error);
      throw new EditError(refusal.code, `${path}: ${refusal.message}`);
    });
    const needs = needsOf(header, fit);
    if (strict && needs.length > 0) {
      throw new EditError('input_unfit', `${path} would have to be changed: ${needs.join(', ')}`);
    }
    const said = (error: unknown): never => {
      throw new EditError('input_not_a_picture', `${path} does not decode to its end: ${firstLine(error)}`);
    };
    if (needs.some((need) => need !== 'metadata') || (needs.length > 0 && header.ext !== 'jpg')) {
      return { source, ...(await remake(bytes, header, needs, fit).catch(said)) };
    }
    // The pixels of a JPEG need not be coded anew for its metadata, which would cost quality or make it larger.
    const sent = needs.length > 0 ? withoutMetadata(bytes) : bytes;
    await decodeAll(sent, header, maxPixels).catch(said);
    return { bytes: sent, source, changes: needs.map(() => 'without metadata') };
  } catch (error) {
    return asRefusal(error);
  }
}

function asRefusal(error: unknown): Refusal {
  if (!(error instanceof EditError)) return { code: 'input_not_a_picture', message: firstLine(error) };
  const { code, message } = error;
  return { code: code as Refusal['code'], message: message.slice(`${code}: `.length) };
}

/** libvips says the rest of it on further lines. */
const firstLine = (error: unknown): string =>
  (toError(error).message.split('\n', 1)[0] ?? '').replace(/[:\s]+$/, '');

async function headerOfFile(path: string): Promise<Header> {
  const file = await openFile(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    return await headerFrom(path, buffer.subarray(0, bytesRead), (await file.stat()).size);
  } finally {
    await file.close();
  }
}

const headerOf = (bytes: Buffer): Promise<Header> => headerFrom(bytes, bytes, bytes.length);

async function headerFrom(picture: Subject, start: Buffer, bytes: number): Promise<Header> {
  const kind = pictureKind(start);
  if (!kind) throw new EditError('input_not_a_picture', `no picture: ${describeContent(start)}`);
  if (!decodable.has(kind.ext) && !(kind.ext === 'heic' && decodesHeic())) {
    throw new EditError('input_not_a_picture', cannotDecode(kind));
  }
  const facts = await sharp(picture, { limitInputPixels: false, failOn: 'error' }).metadata();
  const { width, height, orientation, hasAlpha, space, icc, exif, xmp, iptc, comments, pages } = facts;
  const flaw = pixelFlaw({ width, height });
  if (flaw) throw new EditError('input_too_large', flaw);
  return {
    ...kind,
    bytes,
    width,
    height,
    orientation,
    hasAlpha,
    space,
    profile: icc && profileName(icc),
    hasMetadata: [exif, xmp, iptc, comments].some((block) => block !== undefined),
    // A TIFF's or AVIF's further pages are no film.
    frames: ['gif', 'webp'].includes(kind.ext) ? (pages ?? 1) : 1,
  };
}

function cannotDecode({ ext, mime }: Kind): string {
  if (ext !== 'heic') return `${mime} is not decoded here: save it as JPEG, PNG or WebP`;
  return 'HEIC is not decoded here: save it as JPEG (on a Mac: sips -s format jpeg; on Debian: heif-convert)';
}

/** The libvips that comes with sharp lacks the decoder; one of the machine's own may have it. */
function decodesHeic(): boolean {
  return sharp.format.heif.input.fileSuffix?.includes('.heic') ?? false;
}

/** A damaged profile is one that isn't known to be sRGB. */
function profileName(icc: Buffer): string {
  try {
    return parse(icc).description ?? '';
  } catch {
    return '';
  }
}

async function remake(
  bytes: Buffer,
  header: Header,
  needs: Need[],
  { maxBytes, maxSide }: Fit,
): Promise<Pick<Prepared, 'bytes' | 'changes'>> {
  expectEnd(bytes, header);
  // Whatever profile it has, what comes out is sRGB of 8 bits a channel, without metadata.
  const picture = (side = maxSide): Sharp => {
    const upright = sharp(bytes, { failOn: 'error', limitInputPixels: maxPixels }).autoOrient();
    return side === undefined
      ? upright
      : upright.resize(side, side, { fit: 'inside', withoutEnlargement: true });
  };
  const { encodings, last } = encodingsOf(header, maxBytes);
  let made: Buffer = Buffer.alloc(0);
  let name = '';
  for (const encoding of encodings) {
    made = await encoding.encode(picture()).toBuffer();
    name = encoding.name;
    if (made.length <= maxBytes) break;
  }
  let side = Math.min(maxSide ?? Infinity, Math.max(header.width, header.height));
  while (made.length > maxBytes) {
    side = Math.max(1, Math.floor(side * Math.min(0.95, Math.sqrt((0.9 * maxBytes) / made.length))));
    made = await last.encode(picture(side)).toBuffer();
  }
  const { width, height } = await sharp(made).metadata();
  return { bytes: made, changes: changesFor(header, needs, `${name}, ${width}x${height}`) };
}

/** First without loss where that may do, then by quality; `last` is used where pixels have to go as well. */
function encodingsOf(header: Header, maxBytes: number): { encodings: Encoding[]; last: Encoding } {
  const lossless = ['png', 'gif'].includes(header.ext) || header.hasAlpha;
  const lossy = header.hasAlpha ? [webp(92), webp(80)] : [jpeg(92, '4:4:4'), jpeg(80)];
  const isHopeless = header.ext === 'png' && header.bytes > maxBytes;
  return {
    encodings: [...(lossless && !isHopeless ? [png] : []), ...lossy],
    last: lossy[1] ?? png,
  };
}

function changesFor(header: Header, needs: Need[], as: string): string[] {
  const texts: Record<Need, string> = {
    type: `from ${header.mime.replace('image/', '').toUpperCase()}`,
    frame: `the first of ${header.frames} frames`,
    upright: 'turned upright',
    colours: `colours from ${header.profile ?? header.space} to sRGB`,
    depth: '8 instead of 16 bits a channel',
    side: `from ${header.width}x${header.height}`,
    bytes: `from ${(header.bytes / 1e6).toFixed(1)} MB`,
    metadata: 'without metadata',
  };
  return [...needs.map((need) => texts[need]), `as ${as}`];
}
