import { join } from 'node:path';
import { reportAgain } from '../../src/batch/finish.ts';
import { findOutput } from '../../src/batch/output.ts';
import { violationsIn } from './check.ts';
import { readFolder } from './read.ts';
import type { Invariant, Scene, Violation } from './scene.ts';
import { tellOf } from './told.ts';

/** Invariants that a test breaks on purpose, and why. */
export type Exceptions = Partial<Record<Invariant, string>>;

/**
 * Checks what the commands of a test left behind; where a run was cut off, with the report that its user would make.
 * @param folder what they were started in
 * @throws Error naming what is violated
 */
export async function expectSound(
  folder: string,
  rest: Omit<Scene, 'outputs' | 'state' | 'manifests'>,
  except: Exceptions = {},
): Promise<void> {
  const left = await readFolder(folder);
  const cutOff = [...left.outputs].filter(([name, files]) => isCutOff(tellOf(name, files)));
  const failed: Violation[] = [];
  for (const [name] of cutOff) failed.push(...(await makeReport(folder, name)));
  const scene = { ...rest, ...(cutOff.length > 0 ? await readFolder(folder) : left) };
  const found = [...failed, ...(await violationsIn(scene))];
  const violated = found.filter(({ invariant }) => except[invariant] === undefined);
  if (violated.length === 0) return;
  const lines = violated.slice(0, 20).map(({ invariant, said }) => `${invariant}: ${said}`);
  throw new Error(`${violated.length} violations of invariants:\n${lines.join('\n')}`);
}

const isCutOff = ({ runs }: ReturnType<typeof tellOf>): boolean => runs.length > 0 && !runs.at(-1)?.end;

async function makeReport(folder: string, name: string): Promise<Violation[]> {
  try {
    const output = await findOutput(join(folder, name));
    if (output) await reportAgain(output);
    return [];
  } catch (error) {
    return [{ invariant: 'I1', said: `${name}: no report can be made: ${String(error)}` }];
  }
}
