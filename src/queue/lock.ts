import { randomUUID } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SurroundingsError, systemCode, toError } from '../errors.ts';
import { livesHere, ownerSchema, self, type Owner } from '../owner.ts';

/** How long the work of somebody else is waited for. */
const patienceMs = 10_000;

/**
 * Runs the work while no other process holds this lock file. A lock whose owner has died is broken.
 * @throws SurroundingsError when somebody holds it for too long, or the file can't be written
 */
export async function locked<T>(file: string, work: () => Promise<T>): Promise<T> {
  for (const until = performance.now() + patienceMs; !(await takeLock(file)); await sleep(10)) {
    if (performance.now() > until) throw new SurroundingsError(await heldTooLong(file));
  }
  try {
    return await work();
  } finally {
    await rm(file, { force: true });
  }
}

async function heldTooLong(file: string): Promise<string> {
  const owner = await ownerOf(file);
  const who = owner ? `process ${owner.pid} on ${owner.host}` : 'another reshoot';
  return `${file} is held by ${who} for over ${patienceMs / 1000} s: is this machine very busy? Try again`;
}

async function takeLock(file: string): Promise<boolean> {
  const owner = await ownerOf(file);
  // To look costs less than to claim, and many may wait.
  if (owner === undefined) return claim(file);
  if (isDead(owner)) await breakLock(file);
  return false;
}

/** Under a claim of its own: else the slower of two who saw the dead lock would remove the quicker one's new lock. */
async function breakLock(file: string): Promise<void> {
  const breaking = `${file}.breaking`;
  if (await claim(breaking)) {
    if (isDead(await ownerOf(file))) await rm(file, { force: true });
    await rm(breaking, { force: true });
  } else if (isDead(await ownerOf(breaking))) {
    await rm(breaking, { force: true });
  }
}

/** Writes our name beside and links it, so that nobody ever sees a file without its owner. False: it is taken. */
async function claim(file: string): Promise<boolean> {
  const mine = `${file}.${randomUUID()}`;
  try {
    await writeFile(mine, JSON.stringify(self), { mode: 0o600 });
    await link(mine, file);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw new SurroundingsError(`no lock can be taken: ${toError(error).message}`, { cause: error });
  } finally {
    await rm(mine, { force: true });
  }
}

/** Has the lock's owner ended? A lock that nobody wrote whole counts as dead, one that is gone does not. */
function isDead(owner: Owner | null | undefined): boolean {
  return owner === null || (owner !== undefined && livesHere(owner) === false);
}

/** Undefined: there is no lock; null: nobody's name is in it. */
async function ownerOf(file: string): Promise<Owner | null | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  try {
    return ownerSchema.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
