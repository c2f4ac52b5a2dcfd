import { z } from 'zod';
import type { RecordFiles } from './files.ts';

const schema = z.object({ v: z.literal(1), id: z.string(), n: z.number().int().positive() });

/** Where a finished fingerprint's call is on record. */
type Finished = Omit<z.infer<typeof schema>, 'v'>;

/** Finished work by its content: finds the call that paid for a fingerprint, under whatever id that was. */
export interface Contents {
  find(fingerprint: string): Promise<Finished | undefined>;
  /** Notes a finished fingerprint; the first note stands. */
  note(fingerprint: string, finished: Finished): Promise<void>;
}

/** One small file a finished fingerprint: `.reshoot/done/<aa>/<fingerprint>.json`. Version 1. */
export function createContents(files: RecordFiles): Contents {
  return {
    async find(fingerprint) {
      const text = await files.read(nameOf(fingerprint));
      // Derived, so a damaged note is none; the calls themselves know it too.
      return text && parsed(text.toString('utf8'));
    },
    async note(fingerprint, finished) {
      await files.create(nameOf(fingerprint), `${JSON.stringify({ v: 1, ...finished })}\n`);
    },
  };
}

function parsed(text: string): Finished | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

const nameOf = (fingerprint: string): string =>
  `.reshoot/done/${fingerprint.slice(0, 2)}/${fingerprint}.json`;
