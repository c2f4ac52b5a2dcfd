import type { Row } from '../model.ts';
import type { RowEnd } from '../queue/progress.ts';
import { callId, isCopy, type Call, type CallPicture } from '../records/call.ts';
import { fingerprint, knownSources } from '../records/fingerprint.ts';
import { judge, type RowRules } from '../records/state.ts';
import type { Storage } from '../storage/storage.ts';
import { asideName, outputName, rivals, stands } from './keep.ts';
import type { Standing } from './standing.ts';

/** What stands in an output. */
export interface Present {
  standing: Standing;
  storage: Pick<Storage, 'stat' | 'hash'>;
  /** Answers that a killed process left in the spool, by call. */
  spooled: ReadonlySet<string>;
}

/**
 * Is a call's picture at the row's name, as far as that can be told without reading it? One that made room before may not
 * be, nor one where another picture of the row stands.
 * @param story all calls of the row
 */
export async function isInPlace(row: Row, call: Call, story: Call[], present: Present): Promise<boolean> {
  const { standing, spooled } = present;
  const picture = call.closed?.picture;
  const name = picture && outputName(row, picture.ext);
  // Moved or renamed, deleted, or put there by a process that died before it was done.
  if (name === undefined || name !== picture?.output || spooled.has(callId(call))) return false;
  const aside = asideName(picture);
  if ((await standing.alike(aside, [aside])).includes(aside)) return false;
  return isAt(name, picture, story, present);
}

/**
 * Is a call's picture gone from everywhere it may lie, so that the row would be paid for again?
 * @param story calls that may have put another picture there
 */
export async function isLost(row: Row, call: Call, story: Call[], present: Present): Promise<boolean> {
  const picture = call.closed?.picture;
  if (!picture || present.spooled.has(callId(call))) return false;
  for (const name of [asideName(picture), picture.output, outputName(row, picture.ext)])
    if (await isAt(name, picture, story, present)) return false;
  return true;
}

/** Does a file stand at the name, and is it none of the row's other pictures? */
async function isAt(
  name: string,
  picture: CallPicture,
  story: Call[],
  { standing, storage }: Present,
): Promise<boolean> {
  if (!(await standing.alike(name, [name])).includes(name)) return false;
  return !(await stands(storage, name, rivals(name, picture, story)));
}

/**
 * How a chosen row ends that needs no job, since its records know; the call decided it. Undefined: a worker must look
 * at it.
 */
export async function endWithoutJob(
  row: Row,
  calls: Call[],
  origin: string,
  rules: RowRules,
  present: Present,
): Promise<{ is: RowEnd; call: Call } | undefined> {
  if (calls.length === 0) return undefined;
  const known = knownSources(row.pictures, calls);
  if (!known || calls.some((call) => !call.closed)) return undefined;
  const verdict = judge(row.route, calls, fingerprint(origin, row, known), rules);
  if (verdict.is === 'due') return undefined;
  const { call } = verdict;
  const own = call.run === rules.run;
  if (verdict.is === 'failed') return { is: own ? 'failed' : 'failed before', call };
  if (verdict.is === 'held') return { is: 'held', call };
  if (!(await isInPlace(row, call, calls, present))) return undefined;
  return { is: own && !isCopy(call) ? 'succeeded' : 'skipped', call };
}
