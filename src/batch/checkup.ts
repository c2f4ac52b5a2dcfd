import { access, constants, mkdtemp, rm, rmdir, statfs, writeFile } from 'node:fs/promises';
import { freemem, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { printable } from '../cells.ts';
import type { Config } from '../config.ts';
import { EditError, SurroundingsError, systemCode, toError, UsageError } from '../errors.ts';
import { createVerifier } from '../image/verify.ts';
import { createLog } from '../log.ts';
import { inspectRedis, type RedisFacts } from '../queue/inspect.ts';
import { outputFolder } from '../storage/open.ts';
import { openDesks } from './desks.ts';

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

const oldestRedis = 6.2;
const clockMs = 2000;
const scarceBytes = 2e9;
const scarceMemory = 512 * 2 ** 20;

async function redisCheckup(config: Config): Promise<Checkup[]> {
  const where = config.redisUrl === undefined ? `private, in ${config.stateDir}` : 'by REDIS_URL';
  try {
    const desks = await openDesks(config, createLog('silent'));
    try {
      const facts = await inspectRedis(desks.redis);
      const worries = worriesOf(facts);
      const says = `${facts.version}, ${where}`;
      return [
        { is: 'good', about: 'redis', says },
        ...worries.map((worry) => ({ is: 'worry', about: 'redis', says: worry }) as const),
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

function worriesOf(facts: RedisFacts): string[] {
  const { version: name, appendOnly, evictionPolicy, clockAheadMs } = facts;
  const worries: string[] = [];
  const number = Number(/\d+\.\d+/.exec(name)?.[0]);
  if (number < oldestRedis)
    worries.push(`${name} is older than ${oldestRedis}, which BullMQ needs: update it`);
  if (appendOnly === false)
    worries.push('no append-only file: what is on the desk is lost when it restarts; set appendonly yes');
  if (evictionPolicy !== undefined && evictionPolicy !== 'noeviction')
    worries.push(`maxmemory-policy is ${evictionPolicy}: it may throw the queue away; set noeviction`);
  if (Math.abs(clockAheadMs) > clockMs)
    worries.push(
      `its clock is ${(clockAheadMs / 1000).toFixed(1)} s ahead of this machine's: set both by NTP`,
    );
  return worries;
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
    const { bavail, bsize } = await statfs(there);
    const room = bavail * bsize;
    const says = `${printable(folder)} is writable, ${(room / 1e9).toFixed(1)} GB free`;
    if (room >= scarceBytes) return { is: 'good', about, says };
    return { is: 'worry', about, says: `${says}: a picture takes 1 to 20 MB` };
  } catch (error) {
    return { is: 'bad', about, says: `${printable(folder)}: ${toError(error).message}` };
  }
}

/** The folder itself, or the closest one above it that exists. */
async function nearest(folder: string): Promise<string> {
  try {
    await access(folder, constants.F_OK);
    return folder;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || dirname(folder) === folder) throw error;
    return nearest(dirname(folder));
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
