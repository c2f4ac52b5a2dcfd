import { z } from 'zod';
import type { RecordFiles } from './files.ts';

const schema = z.discriminatedUnion('v', [
  z.object({ v: z.literal(2), id: z.string(), run: z.string(), row: z.number().int().positive() }),
  // Written when the work was finished; later versions write it before the first call.
  z
    .object({ v: z.literal(1), id: z.string(), n: z.number().int().positive() })
    .transform(({ id }) => ({ id })),
]);

/** A row that took a content on, and in which run. */
export interface Taker {
  id: string;
  run: string;
  row: number;
}

/**
 * Who sends a fingerprint, under whatever id: of rows that ask for the same one takes it on, and the others share what
 * comes of it.
 */
export interface Contents {
  /** Everybody who ever took it on, in order; of a damaged or old note only what it tells. */
  takers(fingerprint: string): Promise<Partial<Taker>[]>;
  /** Takes it on after so many others. False: somebody else was quicker. */
  take(fingerprint: string, taker: Taker, after: number): Promise<boolean>;
}

/** One small file a taker, each created exclusively: `.reshoot/done/<aa>/<fingerprint>.json`, `….2.json`. Version 2. */
export function createContents(files: RecordFiles): Contents {
  return {
    async takers(fingerprint) {
      const takers: Partial<Taker>[] = [];
      for (;;) {
        const text = await files.read(nameOf(fingerprint, takers.length));
        if (!text) return takers;
        takers.push(parsed(text.toString('utf8')));
      }
    },
    take: (fingerprint, { id, run, row }, after) =>
      files.create(nameOf(fingerprint, after), `${JSON.stringify({ v: 2, id, run, row })}\n`),
  };
}

function parsed(text: string): Partial<Taker> {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return {};
  }
}

const nameOf = (fingerprint: string, before: number): string =>
  `.reshoot/done/${fingerprint.slice(0, 2)}/${fingerprint}${before === 0 ? '' : `.${before + 1}`}.json`;
