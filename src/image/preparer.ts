import { resolve } from 'node:path';
import { EditError } from '../errors.ts';
import type { DecoderProcess } from './decoder-process.ts';
import type { Fit, Refusal } from './needs.ts';
import { createPool, type PoolOptions } from './pool.ts';
import type { Inspected, Prepared, PrepareOrder, Subject } from './prepare.ts';

/** Looks at reference pictures, and makes of them what can be sent, in processes of its own. */
export interface Preparer {
  /**
   * What would be done to pictures, by their headers alone, or why they can't be sent; in their order.
   * @throws SurroundingsError when the helper does not start: no fault of a picture
   */
  inspect(subjects: Subject[], fit: Fit): Promise<Inspected[]>;
  /**
   * Reads a picture once, decodes it whole, and makes of it what can be sent.
   * @throws EditError `input_missing`, `input_unreadable`, `input_too_large`, `input_not_a_picture` or `input_unfit`
   * @throws SurroundingsError as `inspect`
   */
  prepare(order: PrepareOrder): Promise<Prepared>;
  /** Ends the helper processes; nothing may be asked any more. */
  close(): Promise<void>;
}

type Question<T> = (decoder: DecoderProcess) => Promise<T | 'died' | 'late'>;

interface PreparerOptions extends PoolOptions {
  /** Milliseconds a picture may take. */
  deadlineMs?: number;
}

export function createPreparer({ deadlineMs = 60_000, ...options }: PreparerOptions = {}): Preparer {
  const pool = createPool(options);
  const deadly = (what: 'died' | 'late'): Refusal => ({
    code: 'input_not_a_picture',
    message:
      what === 'died'
        ? 'the picture killed its decoder twice'
        : `the picture did not decode within ${deadlineMs / 1000} s`,
  });
  /** Anybody may have killed the helper; only a second death in a row is held against a picture. */
  const ask = async <T extends object>(question: Question<T>): Promise<T | Refusal> => {
    const first = await pool.ask(question);
    const answer = first === 'died' ? await pool.ask(question) : first;
    return typeof answer === 'string' ? deadly(answer) : answer;
  };
  const inspect = async (subjects: Subject[], fit: Fit): Promise<Inspected[]> => {
    const answer = await ask<Inspected[]>((decoder) => decoder.inspect(subjects, fit, deadlineMs));
    if (Array.isArray(answer)) return answer;
    if (subjects.length === 1) return [answer];
    // One of them did it: each for itself.
    const all: Inspected[] = [];
    for (const subject of subjects) all.push(...(await inspect([subject], fit)));
    return all;
  };
  return {
    inspect,
    async prepare(order) {
      const path = resolve(order.path);
      const answer = await ask<Prepared | Refusal>((decoder) =>
        decoder.prepare({ ...order, path }, deadlineMs),
      );
      if ('code' in answer) throw new EditError(answer.code, answer.message);
      return {
        ...answer,
        source: { ...answer.source, ...('path' in answer.source && { path: order.path }) },
      };
    },
    close: pool.close,
  };
}
