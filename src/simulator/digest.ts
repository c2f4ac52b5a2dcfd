import { createHash } from 'node:crypto';

/** A hexadecimal digest of all parts, in order. */
export function digest(...parts: (Buffer | string)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${Buffer.byteLength(part)}:`).update(part);
  return hash.digest('hex');
}
