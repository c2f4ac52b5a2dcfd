import type { Kind } from './kind.ts';

/** What a picture's header says of it. */
export interface Header extends Kind {
  /** Of the whole file. */
  bytes: number;
  /** As they lie in the file, before it is turned. */
  width: number;
  height: number;
  /** 1 to 8 as EXIF counts them; undefined: it doesn't say. */
  orientation: number | undefined;
  hasAlpha: boolean;
  /** As libvips calls it: `srgb`, `cmyk`, `rgb16` … */
  space: string;
  /** The name of its colour profile; undefined: it has none. */
  profile: string | undefined;
  /** EXIF, XMP, IPTC or texts: camera, position, author, history. */
  hasMetadata: boolean;
  frames: number;
}

/** What a picture that is sent must be like. */
export interface Fit {
  maxBytes: number;
  /** Longest side in pixels; undefined: any. */
  maxSide: number | undefined;
}

/** What has to be done to a picture before it is sent. */
export type Need = 'type' | 'frame' | 'upright' | 'colours' | 'depth' | 'side' | 'bytes' | 'metadata';

/** Why a picture can't be sent, whatever is done to it. */
export interface Refusal {
  code: 'input_not_a_picture' | 'input_too_large' | 'input_missing' | 'input_unreadable' | 'input_unfit';
  message: string;
}

/** The API takes them as they are. */
const sendable = new Set(['jpg', 'png', 'webp']);

/** More would cost more memory than a machine can be expected to have; medium-format cameras make 102 million. */
export const maxPixels = 120_000_000;

const eightBits = new Set(['srgb', 'b-w', 'cmyk', 'rgb', 'hsv', 'lab', 'labs', 'labq', 'xyz']);
const plain = new Set(['srgb', 'b-w', 'rgb16', 'grey16']);

/** What has to be done to a picture before it is sent; none: its bytes are sent as they are. */
export function needsOf(header: Header, { maxBytes, maxSide = Infinity }: Fit): Need[] {
  const needs: Record<Need, boolean> = {
    type: !sendable.has(header.ext),
    frame: header.frames > 1,
    upright: (header.orientation ?? 1) !== 1,
    colours: !plain.has(header.space) || isWide(header.profile),
    depth: plain.has(header.space) && !eightBits.has(header.space),
    side: Math.max(header.width, header.height) > maxSide,
    bytes: header.bytes > maxBytes,
    metadata: header.hasMetadata,
  };
  return (Object.keys(needs) as Need[]).filter((need) => needs[need]);
}

/** `c2` is the small profile by which many programs mean sRGB. */
const isWide = (profile: string | undefined): boolean =>
  profile !== undefined && !/srgb|^c2(ci)?$/i.test(profile);

/** Too many pixels to be decoded here; undefined: few enough. */
export function pixelFlaw({ width, height }: Pick<Header, 'width' | 'height'>): string | undefined {
  if (width * height <= maxPixels) return undefined;
  return `it has ${width}x${height} pixels, more than ${maxPixels / 1e6} million`;
}

/** What is done to a picture for a need, to be said before anything is done. */
export const needTexts: Record<Need, string> = {
  type: 'is sent as a JPEG or PNG, since the API does not take its type',
  frame: 'is sent as its first frame only',
  upright: 'is turned upright, as its EXIF says',
  colours: 'gets its colours converted to sRGB',
  depth: 'gets its 16 bits a channel cut to 8',
  side: 'is made smaller, since a side is longer than --input-max',
  bytes: 'is made smaller, since the API takes at most 8 MB',
  metadata: 'is sent without its camera data, position and other metadata',
};
