import { hash } from 'node:crypto';
import type { Picture, Source } from '../model.ts';
import { sourceSchema } from './call.ts';
import type { RecordFiles } from './files.ts';
import { knownSources } from './fingerprint.ts';

type FileFacts = Pick<Picture & { kind: 'file' }, 'path' | 'bytes' | 'mtimeMs' | 'ino'>;

/** What files held when they were last read, under whatever row's id: so that none is read twice. */
export interface Sightings {
  /** The pictures' sources without reading a byte of them; undefined where a file is new or has changed. */
  of(pictures: Picture[]): Promise<Source[] | undefined>;
  note(sources: Source[]): Promise<void>;
}

/** One small file a picture file: `.reshoot/seen/<aa>/<hash of path, size, time of change and inode>.json`. Version 1. */
export function createSightings(files: RecordFiles): Sightings {
  const find = async (picture: Picture & { kind: 'file' }): Promise<Source | undefined> => {
    const text = await files.read(nameOf(picture));
    return text && parsed(text.toString('utf8'));
  };
  return {
    async of(pictures) {
      const seen: Source[] = [];
      for (const picture of pictures) {
        const source = picture.kind === 'file' ? await find(picture) : picture;
        if (!source) return undefined;
        seen.push(source);
      }
      return knownSources(pictures, [{ sources: seen }]);
    },
    async note(sources) {
      for (const source of sources) {
        if (source.kind !== 'file' || (await find(source))) continue;
        await files.write(nameOf(source), `${JSON.stringify({ v: 1, ...source })}\n`);
      }
    },
  };
}

/** A damaged one is none: its file is read again. */
function parsed(text: string): Source | undefined {
  try {
    return sourceSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function nameOf({ path, bytes, mtimeMs, ino }: FileFacts): string {
  const key = hash('sha256', JSON.stringify([path, bytes, mtimeMs, ino])).slice(0, 40);
  return `.reshoot/seen/${key.slice(0, 2)}/${key}.json`;
}
