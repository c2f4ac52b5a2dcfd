import { isUtf8 } from 'node:buffer';
import type { Route } from '../model.ts';
import { digest } from './digest.ts';
import { isRatio, longestSide, pixelsOf, type Pixels } from './pixels.ts';
import { Refusal } from './refusal.ts';

/** The API says MB; a million bytes is its strictest meaning. */
const MB = 1_000_000;
/** Most bytes of a whole request body. */
export const bodyLimit = 40 * MB;
const pictureLimit = 8 * MB;

/** What a call asks for, checked against every rule of the API's page. */
export interface Edit {
  prompt: string;
  pixels: Pixels;
  route: Route;
  /** The first reference, the only one that the model looks at: its bytes, or its address, which is never fetched. */
  reference: Buffer | string;
  /** The same for the same prompt and references. */
  fingerprint: string;
}

type Fields = Record<string, unknown>;

/** @throws Refusal naming the field that is wrong */
export function readEdit(body: Buffer): Edit {
  const fields = readFields(body);
  const prompt = fields['prompt'];
  if (typeof prompt !== 'string' || prompt.trim() === '') throw wrong('prompt must be a non-empty string');
  const pixels = readPixels(fields);
  const route = fields['route'] ?? 1;
  if (route !== 1 && route !== 2) throw wrong('route must be the integer 1 or 2');
  const references = readReferences(fields);
  const [reference] = references;
  if (reference === undefined) throw wrong('one of image_urls and image_b64 is required');
  return { prompt, pixels, route, reference, fingerprint: digest(prompt, ...references) };
}

const wrong = (message: string): Refusal => new Refusal(400, 'bad_request', message);

function readFields(body: Buffer): Fields {
  if (!isUtf8(body)) throw wrong('the body is not UTF-8');
  const fields = parseJson(body.toString());
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) {
    throw wrong('the body must be a JSON object');
  }
  return { ...fields };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw wrong('the body is not JSON');
  }
}

function readPixels(fields: Fields): Pixels {
  const { size = '2K', ratio = '1:1' } = fields;
  if (!isRatio(ratio)) throw wrong('ratio must be one of 1:1, 16:9, 9:16, 4:3, 3:4');
  const pixels = typeof size === 'string' ? pixelsOf(size, ratio) : undefined;
  if (!pixels) throw wrong(`size must be 1K, 2K, 4K or WxH of at most ${longestSide} pixels a side`);
  return pixels;
}

/** With both fields `image_b64` is ignored without a word, whatever it holds: so the API's page has it. */
function readReferences(fields: Fields): (Buffer | string)[] {
  const urls = fields['image_urls'] ?? [];
  if (!isTexts(urls)) throw wrong('image_urls must be an array of strings');
  if (urls.length > 0) return checkUrls(urls);
  const given = fields['image_b64'] ?? [];
  const pictures = typeof given === 'string' ? [given] : given;
  if (!isTexts(pictures)) throw wrong('image_b64 must be a string or an array of strings');
  if (pictures.length > 10) throw wrong('image_b64 holds more than 10 images');
  return pictures.map(readPicture);
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function checkUrls(urls: string[]): string[] {
  if (urls.length > 5) throw wrong('image_urls holds more than 5 addresses');
  const bad = urls.findIndex((url) => !URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol));
  if (bad >= 0) throw wrong(`image_urls[${bad}] is not an http(s) address`);
  return urls;
}

function readPicture(text: string, at: number): Buffer {
  const base64 = text.replace(/^data:[^,]{0,200};base64,/, '');
  const bytes = Buffer.from(base64, 'base64');
  // Node's decoder skips what isn't base64, which the length betrays.
  const padding = base64.endsWith('==') ? 2 : base64.endsWith('=') ? 1 : 0;
  if (base64.length % 4 !== 0 || bytes.length !== (base64.length / 4) * 3 - padding) {
    throw wrong(`image_b64[${at}] is neither base64 nor a data: URI of base64`);
  }
  if (bytes.length > pictureLimit) throw wrong(`image_b64[${at}] is over 8 MB after decoding`);
  if (!isPicture(bytes)) throw wrong(`image_b64[${at}] is not a picture of a known type`);
  return bytes;
}

/** JPEG, PNG, GIF, TIFF, WebP, and the HEIF family (AVIF, HEIC), by their first bytes. */
const beginnings = /^(?:\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II\*\0|MM\0\*|RIFF[^]{4}WEBP|[^]{4}ftyp)/;

function isPicture(bytes: Buffer): boolean {
  return beginnings.test(bytes.toString('latin1', 0, 16));
}
