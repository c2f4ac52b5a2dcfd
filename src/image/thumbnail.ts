import { createPool, type PoolOptions } from './pool.ts';
import type { Original } from './shrink.ts';

/** Makes thumbnails in processes of its own. */
export interface Thumbnailer {
  /**
   * A WebP of at most 320 pixels a side, upright, in sRGB, without metadata. Undefined: the file is gone, has changed,
   * or does not decode.
   * @throws SurroundingsError when the helper does not start: no fault of the picture
   */
  make(original: Original): Promise<Buffer | undefined>;
  /** Ends the helper processes; nothing may be in the making. */
  close(): Promise<void>;
}

interface ThumbnailerOptions extends PoolOptions {
  /** Milliseconds a picture may take. */
  deadlineMs?: number;
}

export function createThumbnailer({ deadlineMs = 30_000, ...options }: ThumbnailerOptions = {}): Thumbnailer {
  const pool = createPool(options);
  return {
    async make(original) {
      const shrunk = await pool.ask((decoder) => decoder.shrink(original, deadlineMs));
      return typeof shrunk === 'object' && 'webp' in shrunk ? shrunk.webp : undefined;
    },
    close: pool.close,
  };
}
