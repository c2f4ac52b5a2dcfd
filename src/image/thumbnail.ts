import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import { startDecoderProcess, type DecoderProcess } from './decoder-process.ts';
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

interface ThumbnailerOptions {
  start?: () => Promise<DecoderProcess>;
  /** Milliseconds a picture may take. */
  deadlineMs?: number;
  /** Pictures at a time, each in a process of its own. */
  processes?: number;
}

/** Starts a helper process where none is idle; one that a picture killed is not mourned, and the next starts afresh. */
export function createThumbnailer(options: ThumbnailerOptions = {}): Thumbnailer {
  const { start = startDecoderProcess, deadlineMs = 30_000 } = options;
  const seats = pLimit(options.processes ?? Math.min(4, availableParallelism()));
  const idle: DecoderProcess[] = [];

  const living = async (): Promise<DecoderProcess> => {
    const decoder = idle.pop();
    return decoder?.alive() ? decoder : start();
  };
  const make = async (original: Original): Promise<Buffer | undefined> => {
    const decoder = await living();
    const shrunk = await decoder.shrink(original, deadlineMs);
    if (shrunk === 'died' || shrunk === 'late') {
      await decoder.stop();
      return undefined;
    }
    idle.push(decoder);
    return 'webp' in shrunk ? Buffer.from(shrunk.webp, 'base64') : undefined;
  };
  return {
    make: (original) => seats(make, original),
    async close() {
      await Promise.all(idle.splice(0).map((decoder) => decoder.stop()));
    },
  };
}
