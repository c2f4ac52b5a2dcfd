import { createCalls, type Calls } from '../records/calls.ts';
import { createContents, type Contents } from '../records/content.ts';
import { createRuns, type Runs } from '../records/runs.ts';
import { createSightings, type Sightings } from '../records/sightings.ts';
import { storeId } from '../records/store.ts';
import { findStorage, openStorage } from '../storage/open.ts';
import type { Storage } from '../storage/storage.ts';

/** An output: where its pictures lie, and what its records know. */
export interface Output {
  /** Its own id, so that a folder of the same name on another machine isn't taken for it. */
  store: string;
  storage: Storage;
  calls: Calls;
  contents: Contents;
  sightings: Sightings;
  runs: Runs;
}

/** Opens an output, making it where there is none. */
export async function openOutput(uri: string): Promise<Output> {
  return assemble(await openStorage(uri));
}

/** Opens an output that exists; undefined where there is none. */
export async function findOutput(uri: string): Promise<Output | undefined> {
  const storage = await findStorage(uri);
  return storage && assemble(storage);
}

async function assemble(storage: Storage): Promise<Output> {
  return {
    store: await storeId(storage),
    storage,
    calls: createCalls(storage),
    contents: createContents(storage),
    sightings: createSightings(storage),
    runs: createRuns(storage),
  };
}
