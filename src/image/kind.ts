import { printable } from '../cells.ts';

/** A picture's type, as its first bytes say it. */
export interface Kind {
  /** `image/jpeg` … */
  mime: string;
  /** Without a dot: `jpg`, `png` … */
  ext: string;
}

const subtypes: Record<string, string> = { jpg: 'jpeg', tif: 'tiff' };
const png = '\x89PNG\r\n\x1A\n';
const tiff = ['II*\0', 'MM\0*', 'II+\0', 'MM\0+'];
const jxl = ['\xFF\x0A', '\0\0\0\x0CJXL \r\n\x87\n'];
const heicBrands = new Set(['heic', 'heix', 'hevc', 'hevx', 'heim', 'heis', 'mif1', 'msf1']);
const bmpHeaderSizes = new Set([12, 40, 52, 56, 64, 108, 124]);

/** How many bytes of a file's start are enough to tell its type. */
export const headBytes = 512;

/** The type of a picture that starts with these bytes; undefined where it is no picture that we know. */
export function pictureKind(start: Buffer): Kind | undefined {
  const head = start.subarray(0, headBytes);
  const text = head.toString('latin1');
  const ext = extensionOf(head, text);
  if (ext === undefined) return undefined;
  return { mime: `image/${subtypes[ext] ?? ext}`, ext };
}

function extensionOf(head: Buffer, text: string): string | undefined {
  if (text.startsWith('\xFF\xD8\xFF')) return 'jpg';
  if (text.startsWith(png)) return 'png';
  if (text.startsWith('RIFF') && text.startsWith('WEBP', 8)) return 'webp';
  if (/^GIF8[79]a/.test(text)) return 'gif';
  if (tiff.some((magic) => text.startsWith(magic))) return 'tif';
  if (jxl.some((magic) => text.startsWith(magic))) return 'jxl';
  if (text.startsWith('ftyp', 4)) return heifExtension(head, text);
  return isBmp(head, text) ? 'bmp' : undefined;
}

/** AVIF and HEIC share one container; the brands in its first box tell them apart. */
function heifExtension(head: Buffer, text: string): string | undefined {
  const brands = text.slice(8, head.readUInt32BE(0)).match(/[^]{4}/g) ?? [];
  if (brands.some((brand) => brand === 'avif' || brand === 'avis')) return 'avif';
  return brands.some((brand) => heicBrands.has(brand)) ? 'heic' : undefined;
}

/** Two letters would take any text that starts with "BM" for a picture, so its header must fit as well. */
function isBmp(head: Buffer, text: string): boolean {
  return text.startsWith('BM') && head.length >= 18 && bmpHeaderSizes.has(head.readUInt32LE(14));
}

/** What bytes that are no picture look like, for a message: `empty`, `HTML "<!doctype…"`, `text "…"` or their hex. */
export function describeContent(start: Buffer): string {
  const head = start.subarray(0, 80);
  if (head.length === 0) return 'empty';
  const text = head.toString('utf8');
  if (/^\uFEFF?\s*<(!doctype html|html|head|body|!--)/i.test(text)) return `HTML "${printable(text)}"`;
  const readable = !/[\x00-\x08\x0E-\x1F]/.test(text) && !/\uFFFD[^]/.test(text);
  return readable ? `text "${printable(text)}"` : `bytes ${head.subarray(0, 8).toString('hex')}`;
}
