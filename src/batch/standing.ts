import { hash } from 'node:crypto';
import { dirname } from 'node:path';
import { KeyTable } from '../key-table.ts';
import { folded } from '../manifest/names.ts';
import type { Storage } from '../storage/storage.ts';

/** What stands where an output's pictures go, each folder as it was when it was first asked for. */
export interface Standing {
  /**
   * The very names of files that stand in a name's folder and differ from it by extension, case or Unicode form at most.
   * @param guesses names that are likely to be among them
   */
  alike(name: string, guesses: Iterable<string>): Promise<string[]>;
  /** Would a file of this name lie outside the output, because a link stands on its way? */
  leadsOut(name: string): Promise<boolean>;
}

/** A number that tells a name from every other. */
const spelling = (name: string): number => Number.parseInt(hash('sha256', name).slice(0, 13), 16);

/** As disks that ignore case or Unicode form compare names, and without the extension. */
const stemOf = (name: string): string => folded(name.replace(/\.[^./]*$/, ''));

const several = -1;

/** Folders may hold a million files: of each stem only a number is kept, unless it has more than one. */
export function lookAtNames(storage: Storage): Standing {
  /** A stem → its only name's spelling, or that it has several. */
  const stems = new KeyTable();
  const severalOf = new Map<string, string[]>();
  const listed = new KeyTable();
  const leading = new KeyTable();

  const list = async (folder: string): Promise<void> => {
    listed.set(folder, 1);
    let twins = false;
    for await (const name of storage.scan(folder)) {
      const path = below(folder, name);
      const stem = stemOf(path);
      const isTwin = stems.has(stem);
      twins ||= isTwin;
      stems.set(stem, isTwin ? several : spelling(path));
    }
    if (!twins) return;
    for await (const name of storage.scan(folder)) {
      const path = below(folder, name);
      const stem = stemOf(path);
      if (stems.get(stem) === several) severalOf.set(stem, [...(severalOf.get(stem) ?? []), path]);
    }
  };
  const inOtherSpelling = async (folder: string, stem: string): Promise<string[]> => {
    for await (const name of storage.scan(folder)) {
      if (stemOf(below(folder, name)) === stem) return [below(folder, name)];
    }
    return [];
  };

  return {
    async alike(name, guesses) {
      const folder = folderOf(name);
      if (!listed.has(folder)) await list(folder);
      const stem = stemOf(name);
      const found = stems.get(stem);
      if (found === undefined) return [];
      if (found === several) return severalOf.get(stem) ?? [];
      for (const guess of guesses) if (spelling(guess) === found) return [guess];
      return inOtherSpelling(folder, stem);
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
