import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import sharp from 'sharp';
import { toError } from '../errors.ts';

/** A picture's file, and what its bytes were when we saw them. */
export interface Original {
  file: string;
  bytes: number;
  sha256: string;
}

/** A thumbnail as WebP, or why there is none. */
export type Shrunk = { webp: Buffer } | { none: string };

/** Longest side of a thumbnail in pixels; smaller pictures stay as they are. */
const thumbnailSide = 320;

const maxPixels = 100_000_000;

/**
 * Makes a thumbnail, upright, in sRGB and without metadata; never throws. Runs only in the helper process, since a
 * picture may kill its decoder.
 */
export async function shrink(original: Original): Promise<Shrunk> {
  try {
    const bytes = await readUnchanged(original);
    return { webp: await thumbnailOf(bytes) };
  } catch (error) {
    return { none: toError(error).message };
  }
}

/** The file's bytes, as long as they are those that were seen; another file is not even read. */
async function readUnchanged({ file, bytes, sha256 }: Original): Promise<Buffer> {
  // Without O_NONBLOCK the opening of a FIFO would wait for its writer for ever.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    if (!stat.isFile() || stat.size !== bytes) throw new Error('the file has changed');
    const content = await handle.readFile();
    if (createHash('sha256').update(content).digest('hex') !== sha256)
      throw new Error('the file has changed');
    return content;
  } finally {
    await handle.close();
  }
}

function thumbnailOf(bytes: Buffer): Promise<Buffer> {
  return sharp(bytes, { failOn: 'error', sequentialRead: true, limitInputPixels: maxPixels })
    .autoOrient()
    .resize(thumbnailSide, thumbnailSide, { fit: 'inside', withoutEnlargement: true })
    .webp({ quality: 78, effort: 2 })
    .toBuffer();
}
