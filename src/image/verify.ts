import { resolve } from 'node:path';
import pLimit from 'p-limit';
import { EditError, SurroundingsError } from '../errors.ts';
import type { PictureFacts } from '../model.ts';
import type { Verdict } from './decode.ts';
import { startDecoderProcess, type DecoderProcess } from './decoder-process.ts';

/** Checks received pictures by decoding them whole, in a process of its own. */
export interface Verifier {
  /**
   * What the file's picture is; `verified: false` for a type that our decoder lacks or one of over 100 megapixels.
   * @throws EditError `not_a_picture`, `cut_picture` or `decoder_died`
   * @throws SurroundingsError when the file can't be read or the helper does not start: no fault of the picture
   */
  verify(file: string): Promise<PictureFacts>;
  /** Ends the helper process after the pictures that wait. */
  close(): Promise<void>;
}

interface VerifierOptions {
  start?: () => Promise<DecoderProcess>;
  /** Milliseconds a picture may take. */
  deadlineMs?: number;
}

/** Starts its helper process with the first picture and again after a death; one picture at a time. */
export function createVerifier(options: VerifierOptions = {}): Verifier {
  const { start = startDecoderProcess, deadlineMs = 60_000 } = options;
  const oneAtATime = pLimit(1);
  let decoder: DecoderProcess | undefined;

  const ask = async (file: string): Promise<Verdict | 'died' | 'late'> => {
    if (!decoder?.alive()) decoder = await start();
    const verdict = await decoder.judge(file, deadlineMs);
    if (verdict === 'died' || verdict === 'late') await decoder.stop();
    return verdict;
  };
  const judge = async (file: string): Promise<PictureFacts> => {
    const verdict = await ask(file);
    // Anybody may have killed the helper; only a second death in a row is held against a picture that is paid.
    return factsOf(verdict === 'died' ? await ask(file) : verdict, deadlineMs);
  };
  return {
    verify: (file) => oneAtATime(judge, resolve(file)),
    close: () => oneAtATime(async () => decoder?.stop()),
  };
}

function factsOf(verdict: Verdict | 'died' | 'late', deadlineMs: number): PictureFacts {
  if (verdict === 'died') throw new EditError('decoder_died', 'the picture killed its decoder twice');
  if (verdict === 'late') {
    throw new EditError('decoder_died', `the picture did not decode within ${deadlineMs / 1000} s`);
  }
  if ('fault' in verdict) throw new SurroundingsError(`a received picture cannot be read: ${verdict.fault}`);
  if ('code' in verdict) throw new EditError(verdict.code, verdict.message);
  return verdict.facts;
}
