import { hash } from 'node:crypto';
import { dirname } from 'node:path';
import { KeyTable } from '../key-table.ts';
import type { Storage } from '../storage/storage.ts';

/** What stands where an output's pictures go, each folder as it was when it was first asked for. */
export interface Standing {
  /** The very name of a file that stands there; a disk that ignores case or Unicode form may take it for this one. */
  find(name: string): Promise<string | undefined>;
  /** Would a file of this name lie outside the output, because a link stands on its way? */
  leadsOut(name: string): Promise<boolean>;
}

/** As file systems that ignore case and Unicode form compare names. */
const folded = (name: string): string => name.normalize('NFC').toLowerCase();

/** A number that tells a name from another of the same letters. */
const spelling = (name: string): number => Number.parseInt(hash('sha256', name).slice(0, 13), 16);

/** Folders may hold a million files: names are kept by their hashes. */
export function lookAtNames(storage: Storage): Standing {
  const there = new KeyTable();
  const listed = new KeyTable();
  const leading = new KeyTable();

  const list = async (folder: string): Promise<void> => {
    listed.set(folder, 1);
    for await (const name of storage.scan(folder)) {
      const path = below(folder, name);
      there.set(folded(path), spelling(path));
    }
  };
  const inOtherSpelling = async (folder: string, name: string): Promise<string | undefined> => {
    for await (const other of storage.scan(folder)) {
      if (folded(below(folder, other)) === folded(name)) return below(folder, other);
    }
    return undefined;
  };

  return {
    async find(name) {
      const folder = folderOf(name);
      if (!listed.has(folder)) await list(folder);
      const found = there.get(folded(name));
      if (found === undefined) return undefined;
      return found === spelling(name) ? name : inOtherSpelling(folder, name);
    },
    async leadsOut(name) {
      const folder = folderOf(name);
      const known = leading.get(folder);
      if (known !== undefined) return known === 1;
      const leads = await storage.leadsOut(name);
      leading.set(folder, leads ? 1 : 0);
      return leads;
    },
  };
}

const folderOf = (name: string): string => (name.includes('/') ? dirname(name) : '');
const below = (folder: string, name: string): string => (folder === '' ? name : `${folder}/${name}`);
