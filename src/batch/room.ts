import { SurroundingsError } from '../errors.ts';
import type { tiers } from '../model.ts';
import { freeBytes } from '../storage/room.ts';

type Tier = (typeof tiers)[number];

/** The longest side that stands for a tier. */
const sides: Record<Tier, number> = { '1K': 1024, '2K': 2048, '4K': 3840 };

/** What a call in flight may still write at most: an answer of 20 MB of base64. */
const answerBytes = 15e6;

/** About how many bytes a picture of this size takes: a byte a pixel, which makes 1 to 15 MB. */
export function expectedBytes(size: string): number {
  const [width = 0, height = width] = size in sides ? [sides[size as Tier]] : size.split('x').map(Number);
  return width * height;
}

/**
 * Asked once a slot is given, before anything is paid: an answer that finds no room is paid for and lost.
 * @param spool the folder that answers are written into
 * @param calls of this process, those in flight and the one that is to be made
 * @throws SurroundingsError when the disk has too little room for them
 */
export async function expectRoom(spool: string, calls: number, bytesEach = answerBytes): Promise<void> {
  const needed = calls * bytesEach;
  const free = await freeBytes(spool);
  if (free >= needed) return;
  throw new SurroundingsError(
    `${megabytes(free)} are free at ${spool}, and ${calls} ${calls === 1 ? 'answer' : 'answers'} may take ${megabytes(needed)}: no further call is ` +
      'made, since what it pays for might find no room. Make some room',
  );
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
