import type { Log } from '../log.ts';
import type { DeskRun } from '../queue/desk.ts';
import { findOutput, type Output } from './output.ts';

/** Outputs that a process has opened, by run. */
export interface Outputs {
  /** One that was found before. */
  of(run: string): Output | undefined;
  /** Here it is, opened already. */
  know(run: string, output: Output): void;
  /** The run's output, where it is seen here and is for this API; else the log says once why not. */
  find(run: Pick<DeskRun, 'run' | 'output' | 'store' | 'origin'>): Promise<Output | undefined>;
  /** Was the run's output looked for the last time in vain? */
  isUnseen(run: string): boolean;
}

/** A worker lives for months: beyond so many runs the one that was asked for longest ago is opened anew. */
const mostKnown = 500;

/** @param origin the API that this process works for */
export function createOutputs(origin: string, log: Log, most = mostKnown): Outputs {
  const known = new Map<string, Output>();
  const unseen = new Set<string>();
  const remember = (run: string, output: Output): Output => {
    unseen.delete(run);
    known.delete(run);
    known.set(run, output);
    const [oldest] = known.keys();
    if (known.size > most && oldest !== undefined) known.delete(oldest);
    return output;
  };
  return {
    of: (run) => known.get(run),
    know: (run, output) => void remember(run, output),
    async find(run) {
      const seen = known.get(run.run);
      if (seen) return remember(run.run, seen);
      const output = run.origin === origin ? await findRunOutput(run) : undefined;
      if (output) return remember(run.run, output);
      const why =
        run.origin === origin
          ? 'its output is not seen here'
          : `it is for ${run.origin}, this worker for ${origin}`;
      if (!unseen.has(run.run))
        log.warn({ run: run.run, output: run.output }, `not working on this run: ${why}`);
      unseen.add(run.run);
      return undefined;
    },
    isUnseen: (run) => unseen.has(run),
  };
}

/** The very output that the run means, if this machine sees it. */
export async function findRunOutput(run: Pick<DeskRun, 'output' | 'store'>): Promise<Output | undefined> {
  const output = await findOutput(run.output);
  return output?.store === run.store ? output : undefined;
}
