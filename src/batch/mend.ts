import type { Owner } from '../owner.ts';
import type { Desks } from './desks.ts';
import type { Outputs } from './outputs.ts';
import { booksOf } from './plan.ts';

/** Makes the books of runs again from their records, where Redis has lost them. */
export interface Mender {
  /** @throws Error when the run's output isn't known here */
  mend(run: string): Promise<void>;
  /** All that are on the desk and seen here: other runs go by what these have spent today, before they need it themselves. */
  mendAll(): Promise<void>;
}

export function createMender(
  { desk, ledger }: Pick<Desks, 'desk' | 'ledger'>,
  outputs: Outputs,
  windowMs: number,
  lives: (owner: Owner) => boolean,
): Mender {
  const mend = async (run: string): Promise<void> => {
    const output = outputs.of(run);
    if (!output) throw new Error(`the books of run ${run} are lost, and its output isn't known here`);
    await ledger.mend(run, async () => {
      const books = await booksOf(output, await output.runs.read(run), windowMs, lives);
      // Who slept while it ended may still have rows of it in hand.
      const isOver = (await output.runs.end(run)) !== undefined;
      return isOver ? { ...books, state: 'cancelled' } : books;
    });
  };
  return {
    mend,
    async mendAll() {
      for (const run of await desk.runs()) {
        if (await ledger.isWhole(run.run)) continue;
        const output = await outputs.find(run);
        if (output && !(await output.runs.end(run.run))) await mend(run.run);
      }
    },
  };
}
