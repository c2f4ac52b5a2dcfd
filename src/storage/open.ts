import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UsageError } from '../errors.ts';
import { openFolder } from './local.ts';
import type { Storage } from './storage.ts';

/** An output as the user or a job names it, as an absolute folder. @throws UsageError for a kind we lack */
export function outputFolder(output: string): string {
  if (output.startsWith('s3://'))
    throw new UsageError(`--output ${output}: S3 is not yet supported; name a folder`);
  return output.startsWith('file://') ? fileURLToPath(output) : resolve(output);
}

/** Opens an output, making its folder where it is missing. */
export function openStorage(output: string): Promise<Storage> {
  return openFolder(outputFolder(output));
}

/** Opens an output that a run was planned into; undefined where this machine sees none there. */
export async function findStorage(output: string): Promise<Storage | undefined> {
  const folder = outputFolder(output);
  return existsSync(join(folder, '.reshoot')) ? openFolder(folder) : undefined;
}

/** Looks at a folder that exists, whether or not a run was planned into it, and makes nothing there. */
export async function lookAtStorage(output: string): Promise<Storage | undefined> {
  const folder = outputFolder(output);
  return existsSync(folder) ? openFolder(folder, false) : undefined;
}
