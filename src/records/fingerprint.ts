import { hash } from 'node:crypto';
import type { Picture, Row, Source } from '../model.ts';
import type { Call } from './call.ts';

/** Raised when an equal request would no longer be an equal picture. */
const version = 1;

/**
 * What a picture is paid for: API origin and operation, prompt, size, ratio and the source bytes of every reference
 * picture in order. The route is not in it, nor any name: a finished fingerprint is not sent again.
 */
export function fingerprint(
  origin: string,
  row: Pick<Row, 'prompt' | 'size' | 'ratio'>,
  sources: Source[],
): string {
  const content = sources.map((source) =>
    source.kind === 'url' ? { url: source.url } : { sha256: source.sha256 },
  );
  const paid = [version, origin, 'gpt-image-2/i2i', row.prompt, row.size, row.ratio, content];
  return hash('sha256', JSON.stringify(paid));
}

/**
 * The row's sources without reading a byte, from earlier calls that saw the very same files (path, size, time of
 * change, inode); undefined where a file is new or has changed.
 */
export function knownSources(pictures: Picture[], calls: Pick<Call, 'sources'>[]): Source[] | undefined {
  const seen = calls.flatMap((call) => call.sources);
  const known = pictures.map((picture) =>
    picture.kind === 'url' ? picture : seen.findLast((source) => isUnchanged(picture, source)),
  );
  return known.every((source) => source !== undefined) ? known : undefined;
}

function isUnchanged(picture: Picture & { kind: 'file' }, source: Source): boolean {
  return (
    source.kind === 'file' &&
    source.path === picture.path &&
    source.bytes === picture.bytes &&
    source.mtimeMs === picture.mtimeMs &&
    source.ino === picture.ino
  );
}
