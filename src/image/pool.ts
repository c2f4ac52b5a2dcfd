import { availableParallelism } from 'node:os';
import pLimit from 'p-limit';
import { startDecoderProcess, type DecoderProcess } from './decoder-process.ts';

export interface PoolOptions {
  start?: () => Promise<DecoderProcess>;
  /** Pictures at a time, each in a process of its own. */
  processes?: number;
}

/** Helper processes that decode pictures side by side. */
export interface Pool {
  /**
   * Asks a helper that is idle, or a new one; one that a picture killed is not mourned, and the next starts afresh.
   * @throws SurroundingsError when a helper does not start: no fault of the picture
   */
  ask<T>(question: (decoder: DecoderProcess) => Promise<T>): Promise<T>;
  /** Ends the helpers; nothing may be asked any more. */
  close(): Promise<void>;
}

export function createPool({ start = startDecoderProcess, processes }: PoolOptions): Pool {
  const seats = pLimit(processes ?? Math.min(4, availableParallelism()));
  const idle: DecoderProcess[] = [];

  const living = async (): Promise<DecoderProcess> => {
    const decoder = idle.pop();
    return decoder?.alive() ? decoder : start();
  };
  const ask = async <T>(question: (decoder: DecoderProcess) => Promise<T>): Promise<T> => {
    const decoder = await living();
    const answer = await question(decoder);
    if (answer === 'died' || answer === 'late') await decoder.stop();
    else idle.push(decoder);
    return answer;
  };
  return {
    ask: (question) => seats(() => ask(question)),
    async close() {
      await Promise.all(idle.splice(0).map((decoder) => decoder.stop()));
    },
  };
}
