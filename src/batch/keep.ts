import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { EditError } from '../errors.ts';
import type { Row } from '../model.ts';
import { callId, type Call, type CallPicture } from '../records/call.ts';
import type { Storage } from '../storage/storage.ts';

/** Where a call's answer is spooled, on its way in and until it stands at its name. */
export interface SpoolFiles {
  /** Still being written; worth nothing. */
  part: string;
  /** Whole and durable. */
  bin: string;
}

export function spoolFiles(storage: Storage, call: Pick<Call, 'id' | 'n'>): SpoolFiles {
  const base = join(storage.spool, callId(call));
  return { part: `${base}.part`, bin: `${base}.bin` };
}

/** The calls whose answers are still in the spool, by `callId`: not yet at their names, or not yet settled. */
export async function spooledCalls(storage: Storage): Promise<Set<string>> {
  const names = await storage.list('.reshoot/spool');
  return new Set(names.map((name) => name.replace(/\.\w+$/, '')));
}

export const withoutExtension = (name: string): string => name.slice(0, name.length - extname(name).length);

/** A row's name with the extension that the picture's content asks for. */
export function outputName(row: Pick<Row, 'output'>, ext: string): string {
  return row.output.replaceAll('{ext}', ext);
}

/**
 * Puts a call's picture at the row's name, from the spool or from where it lies already. Our own picture that stands
 * in the way is moved to `.reshoot/replaced/`; nothing paid for is deleted.
 * @returns false when the picture is gone from everywhere: somebody deleted it
 * @throws EditError output_taken when a file that isn't ours stands there, or a link leads elsewhere
 */
export async function place(
  storage: Storage,
  call: Call,
  picture: CallPicture,
  row: Row,
  story: Call[],
): Promise<boolean> {
  const name = outputName(row, picture.ext);
  const { bin } = spoolFiles(storage, call);
  if (await storage.leadsOut(name)) {
    throw new EditError(
      'output_taken',
      `${name} leads out of the output through a link: remove the link, then run again`,
    );
  }
  // Its own picture made room for another's, which stands there now.
  const gaveWay = await storage.stat(asideName(picture));
  const isThere = name === picture.output && !gaveWay && (await storage.stat(name)) && !(await exists(bin));
  if (isThere && !(await stands(storage, name, rivals(name, picture, story)))) return true;
  // Else what stands at its name can't be this call's own: its picture isn't there yet.
  await makeRoom(
    storage,
    name,
    picture.sha256,
    row,
    gaveWay ? story : story.filter((other) => other !== call),
  );
  if ((await storage.hash(name)) === picture.sha256) return true;
  const copied = async (): Promise<boolean> => {
    for (const from of [picture.output, asideName(picture)]) {
      if (await storage.copy(from, name, picture.sha256)) return true;
    }
    return false;
  };
  if (await copied()) return true;
  try {
    if ((await exists(bin)) && (await storage.keep(bin, name, picture.sha256))) return true;
  } catch (error) {
    if (await exists(bin)) throw error;
  }
  // Its own row may have put it at its name meanwhile, and so taken it out of the spool.
  if (!(await exists(bin))) return copied();
  throw new EditError(
    'output_taken',
    `a file that reshoot did not write stands at ${name}: move it away, then run again`,
  );
}

/** A paid picture still in the spool while a later call's stands at the row's name: it is kept where replaced ones lie. */
export async function putAside(storage: Storage, call: Call): Promise<void> {
  const picture = call.closed?.picture;
  const { bin } = spoolFiles(storage, call);
  if (!picture || !(await exists(bin))) return;
  await storage.keep(bin, asideName(picture), picture.sha256).catch(async (error: unknown) => {
    // Another process was quicker.
    if (await exists(bin)) throw error;
  });
  await rm(bin, { force: true });
}

/** Moves pictures of ours out of the way: the row's earlier ones, and what the plan saw at its name. */
async function makeRoom(
  storage: Storage,
  name: string,
  sha256: string,
  row: Row,
  story: Call[],
): Promise<void> {
  const earlier = story.flatMap((call) => call.closed?.picture?.output ?? []);
  const ours = new Set([
    ...earlier.filter((other) => withoutExtension(other) === withoutExtension(name)),
    ...(row.replaces ?? []),
  ]);
  for (const other of ours) {
    const content = await storage.hash(other);
    if (!content || (content === sha256 && other === name)) continue;
    await storage.setAside(other, (taken) => replacedName(other, taken));
  }
}

function replacedName(name: string, sha256: string): string {
  return `.reshoot/replaced/${name}~${sha256.slice(0, 16)}${extname(name)}`;
}

/** Where a picture lies that made room at its name. */
export const asideName = ({ output, sha256 }: Pick<CallPicture, 'output' | 'sha256'>): string =>
  replacedName(output, sha256);

/** Other pictures of a row that were put at a name, and what they were then. */
export function rivals(
  name: string,
  { sha256 }: Pick<CallPicture, 'sha256'>,
  story: Call[],
): Pick<CallPicture, 'bytes' | 'sha256'>[] {
  return story.flatMap(({ closed }) => {
    const other = closed?.picture;
    return other?.output === name && other.sha256 !== sha256
      ? { bytes: other.bytes, sha256: other.sha256 }
      : [];
  });
}

/** Does one of these pictures stand at the name? Mostly its length tells, so that it isn't read. */
export async function stands(
  storage: Pick<Storage, 'stat' | 'hash'>,
  name: string,
  pictures: Pick<CallPicture, 'bytes' | 'sha256'>[],
): Promise<boolean> {
  if (pictures.length === 0) return false;
  const length = (await storage.stat(name))?.bytes;
  if (!pictures.some(({ bytes }) => bytes === length)) return false;
  const content = await storage.hash(name);
  return pictures.some(({ sha256 }) => sha256 === content);
}

/** What a spooled answer holds, read again from the disk. */
export async function spooledFacts(bin: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(bin), hash);
  return { sha256: hash.digest('hex'), bytes: (await stat(bin)).size };
}

export async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
