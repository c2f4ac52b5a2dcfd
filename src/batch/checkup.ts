import { mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises';
import { freemem, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { printable } from '../cells.ts';
import type { Config } from '../config.ts';
import { EditError, SurroundingsError, toError, UsageError } from '../errors.ts';
import { createVerifier } from '../image/verify.ts';
import { createLog } from '../log.ts';
import { inspectRedis } from '../queue/inspect.ts';
import { outputFolder } from '../storage/open.ts';
import { freeBytes, nearest } from '../storage/room.ts';
import { openDesks } from './desks.ts';
import { flawsOf } from './sound-redis.ts';

/** What was looked at. `worry`: it works, and may hurt one day; `bad`: nothing works before it is mended. */
export interface Checkup {
  is: 'good' | 'worry' | 'bad';
  about: 'redis' | 'key' | 'output' | 'memory' | 'decoder';
  says: string;
}

/** Looks at all that a run needs beside its manifest; sends nothing to the API. */
export async function checkUp(config: Config, output: string | undefined): Promise<Checkup[]> {
  return [
    ...(await redisCheckup(config)),
    keyCheckup(config),
    ...(output === undefined ? [] : [await outputCheckup(output)]),
    memoryCheckup(),
    await decoderCheckup(),
  ];
}

const scarceBytes = 2e9;
const scarceMemory = 512 * 2 ** 20;

async function redisCheckup(config: Config): Promise<Checkup[]> {
  const where = config.redisUrl === undefined ? `private, in ${config.stateDir}` : 'by REDIS_URL';
  try {
    const desks = await openDesks(config, createLog('silent'));
    try {
      const facts = await inspectRedis(desks.redis);
      const others = await desks.desk.otherLimit(config.rateLimit, config.rateWindowMs);
      const about = 'redis';
      return [
        { is: 'good', about, says: `${facts.version}, ${where}` },
        ...flawsOf(facts).map(({ is, says }) => ({ is, about, says }) as const),
        ...(others === undefined ? [] : [{ is: 'bad', about, says: others } as const]),
      ];
    } finally {
      await desks.leave();
    }
  } catch (error) {
    if (error instanceof UsageError || error instanceof SurroundingsError)
      return [{ is: 'bad', about: 'redis', says: error.message }];
    throw error;
  }
}

function keyCheckup({ accounts, baseUrl }: Config): Checkup {
  const names = accounts.map(({ name }) => name).join(', ');
  if (accounts.length > 0)
    return {
      is: 'good',
      about: 'key',
      says: `present for ${names}, at ${baseUrl}; whether the API takes it is not tried`,
    };
  const says =
    'none: set SPIDERHUBS_API_KEY in the environment or in .env; check, report and simulate need none';
  return { is: 'bad', about: 'key', says };
}

async function outputCheckup(target: string): Promise<Checkup> {
  const about = 'output';
  const folder = outputFolder(target);
  try {
    const there = await nearest(folder);
    await rmdir(await mkdtemp(join(there, '.reshoot-doctor-')));
    const room = await freeBytes(there);
    const says = `${printable(folder)} is writable, ${(room / 1e9).toFixed(1)} GB free`;
    if (room >= scarceBytes) return { is: 'good', about, says };
    return { is: 'worry', about, says: `${says}: a picture takes 1 to 20 MB` };
  } catch (error) {
    return { is: 'bad', about, says: `${printable(folder)}: ${toError(error).message}` };
  }
}

function memoryCheckup(): Checkup {
  // In a container the machine's memory isn't this process's.
  const most = Math.min(totalmem(), process.constrainedMemory() || Infinity);
  const free = Math.min(freemem(), most);
  const says = `${(most / 2 ** 30).toFixed(1)} GiB, ${(free / 2 ** 30).toFixed(1)} GiB of it free`;
  if (most >= scarceMemory) return { is: 'good', about: 'memory', says };
  return {
    is: 'worry',
    about: 'memory',
    says: `${says}: too little for 30 calls at once; give --concurrency 4`,
  };
}

/** The smallest PNG there is. */
const dot =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** The helper process starts and decodes: node_modules from another kind of machine would fail here. */
async function decoderCheckup(): Promise<Checkup> {
  const about = 'decoder';
  const verifier = createVerifier();
  const folder = await mkdtemp(join(tmpdir(), 'reshoot-doctor-'));
  try {
    const file = join(folder, 'dot.png');
    await writeFile(file, Buffer.from(dot, 'base64'));
    await verifier.verify(file);
    return { is: 'good', about, says: 'pictures are checked whole by decoding them' };
  } catch (error) {
    if (error instanceof EditError || error instanceof SurroundingsError)
      return { is: 'bad', about, says: error.message };
    throw error;
  } finally {
    await verifier.close();
    await rm(folder, { recursive: true, force: true });
  }
}
