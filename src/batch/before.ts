import type { Folders } from './folders.ts';
import type { Output } from './output.ts';

/** Within this time two changes of a folder may bear the same date, on the coarsest of file systems. */
const grainMs = 2000;

/** What an output was like before rows were looked for in it. */
export interface Before {
  /** Epoch milliseconds. */
  at: number;
  /** State of the call records. */
  calls: string;
  /** The latest run, and whether it had ended. */
  latest: string;
}

export async function lookBefore(output: Output): Promise<Before> {
  return { at: Date.now(), calls: await output.calls.state(), latest: await latestOf(output) };
}

/**
 * Is what was found in an output still true? While a user thinks about what it costs, other runs go on, and pictures are
 * moved.
 * @param folders of the pictures that were found
 */
export async function isAsBefore(output: Output, before: Before, folders: Folders): Promise<boolean> {
  const found = await folders.look(output.storage);
  if (!found || found.newestMs >= before.at - grainMs) return false;
  return (await output.calls.state()) === before.calls && (await latestOf(output)) === before.latest;
}

async function latestOf({ runs }: Output): Promise<string> {
  const latest = (await runs.list()).at(-1) ?? '';
  const end = latest === '' ? undefined : await runs.end(latest).catch(() => undefined);
  return `${latest} ${end ? 'ended' : 'on'}`;
}
