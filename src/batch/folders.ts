import { hash } from 'node:crypto';
import { dirname } from 'node:path';
import type { Row } from '../model.ts';
import type { Storage } from '../storage/storage.ts';

/** More folders than these would have to be looked at one by one. */
const mostFolders = 10_000;

/** The folders of an output in which rows have their pictures, and those above them. */
export interface Folders {
  note(row: Pick<Row, 'output'>): void;
  /** What they are like now; undefined where there are too many, or one is missing. */
  look(storage: Storage): Promise<FoldersLook | undefined>;
}

interface FoldersLook {
  /** While it is the same, no file has come or gone. */
  state: string;
  /** When the last one did, epoch milliseconds. */
  newestMs: number;
}

export function createFolders(): Folders {
  const all = new Set(['']);
  let last = '';
  return {
    note({ output }) {
      const own = output.includes('/') ? dirname(output) : '';
      if (own === last) return;
      last = own;
      for (let folder = own; folder !== '.' && !all.has(folder); folder = dirname(folder))
        if (all.size <= mostFolders) all.add(folder);
    },
    async look(storage) {
      if (all.size > mostFolders) return undefined;
      const dates: [string, number][] = [];
      for (const folder of [...all].sort()) {
        const changedMs = await storage.changedMs(folder);
        if (changedMs === undefined) return undefined;
        dates.push([folder, changedMs]);
      }
      const newestMs = dates.reduce((newest, [, changedMs]) => Math.max(newest, changedMs), 0);
      return { state: hash('sha256', JSON.stringify(dates)), newestMs };
    },
  };
}
