import { hash } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import { version } from '../config.ts';
import { digestOf, type Digest } from '../manifest/digest.ts';
import { outputFolder } from '../storage/open.ts';
import type { CheckOptions } from './check.ts';

/** What a manifest's rows are read from, as it was when it was looked at. */
export interface AskedFrom extends Pick<Digest, 'expectUnchanged'> {
  /** Of the manifest's bytes and of all else that the rows and their findings depend on, but for the pictures. */
  hash: string;
  /** Where relative pictures start. */
  root: string;
}

/**
 * Looks at it before the manifest is read.
 * @returns undefined: the manifest is no ordinary file, so that nobody could tell whether it is the same
 */
export async function askedFrom(
  file: string,
  { manifest, pictures, origin }: Pick<CheckOptions, 'manifest' | 'pictures' | 'origin'>,
  target: string,
): Promise<AskedFrom | undefined> {
  const digest = await digestOf(file);
  if (!digest) return undefined;
  const root = resolve(manifest.imageRoot ?? dirname(file));
  const { sha256, expectUnchanged } = digest;
  const all = [version, file, resolve(file), sha256, root, manifest, pictures, origin, outputFolder(target)];
  return { hash: hash('sha256', JSON.stringify(all)), root, expectUnchanged };
}
