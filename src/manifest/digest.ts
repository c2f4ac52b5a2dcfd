import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { openSource } from './source.ts';

/** What a manifest's file held when it was looked at. */
export interface Digest {
  sha256: string;
  /** @throws UsageError where the file isn't the one any more that it was then */
  expectUnchanged(): Promise<void>;
}

/**
 * @returns undefined: it is no ordinary file, or there is none
 * @throws UsageError where it can't be read
 */
export async function digestOf(file: string): Promise<Digest | undefined> {
  const facts = await stat(file).catch(() => undefined);
  if (!facts?.isFile()) return undefined;
  const { bytes, expectUnchanged } = await openSource(file);
  const all = createHash('sha256');
  for await (const part of bytes()) all.update(part);
  await expectUnchanged();
  return { sha256: all.digest('hex'), expectUnchanged };
}
