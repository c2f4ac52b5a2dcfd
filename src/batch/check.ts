import { dirname } from 'node:path';
import { printable } from '../cells.ts';
import { UsageError } from '../errors.ts';
import { KeyTable } from '../key-table.ts';
import { createPreparer } from '../image/preparer.ts';
import type { ManifestOptions } from '../manifest/options.ts';
import { readManifest, type Manifest, type ManifestSink, type ReadRow } from '../manifest/read.ts';
import type { Finding, Row } from '../model.ts';
import type { Call } from '../records/call.ts';
import { knownSources } from '../records/fingerprint.ts';
import type { RowRules } from '../records/state.ts';
import type { Stories } from '../records/stories.ts';
import { lookAtStorage, outputFolder } from '../storage/open.ts';
import { freeBytes } from '../storage/room.ts';
import { createAppraiser } from './appraise.ts';
import { compare, noChanges, type Changes } from './changes.ts';
import type { Draft } from './draft.ts';
import { isInPlace } from './end.ts';
import { createForeignCheck, findForeignReport } from './foreign.ts';
import { spooledCalls } from './keep.ts';
import { createLongList, type LongList } from '../long-list.ts';
import { inspectorOf } from './inspect.ts';
import type { PictureRules } from './input.ts';
import type { Output } from './output.ts';
import { expectedBytes } from './room.ts';
import { lookAtNames } from './standing.ts';

export interface CheckOptions {
  manifest: ManifestOptions;
  pictures: PictureRules;
  maxAttempts: number;
  /** Hard cap of credits; undefined: none. */
  maxCredits: number | undefined;
  /** In percent of the rows chosen. */
  retryBudget: number;
  onUnknown: 'retry' | 'hold' | undefined;
  force: boolean;
  /** Calls all accounts together may make in a window. */
  callsPerWindow: number;
  windowMs: number;
  origin: string;
}

/** What a manifest would do and cost; nothing was sent or written. */
export interface Check {
  manifest: Omit<Manifest, 'hasId'>;
  /** Everything that is wrong. */
  findings: LongList<Finding>;
  /** Rows that `run` would work on; none where the manifest as a whole is wrong. */
  due: number;
  selected: number;
  /** Selected rows that the manifest gets wrong. */
  invalid: number;
  credits: Credits;
  /** Milliseconds until the limit lets the last call go; the first window's calls go at once. */
  atLimitMs: number;
  /** Bytes that the requests carry. */
  uploadBytes: number;
  /** With an output and rows to do only: what their pictures will take, about, and what is free there. */
  room: { neededBytes: number; freeBytes: number } | undefined;
  /** With an output only, and where the manifest as a whole is right. */
  changes: Changes | undefined;
  /** Lets go of the lists. */
  close(): void;
}

/** What a run may pay, its cap considered. */
export interface Credits extends Pick<Needed, 'maybeDone'> {
  least: number;
  most: number;
  /** What the rows need at least, whatever the cap. */
  needed: number;
}

/** What a manifest is checked against. */
export interface Against {
  /** The output as the user named it; undefined: none was named. */
  target: string | undefined;
  /** Undefined: it doesn't exist yet. */
  output: Output | undefined;
}

/**
 * Reads and checks everything, against the output too where there is one.
 * @param draft takes all rows, where they are to be planned
 * @throws UsageError when the manifest can't be read at all, or the output would mix with the pictures it is made from
 */
export async function checkManifest(
  file: string,
  options: CheckOptions,
  { target, output }: Against,
  draft?: Draft,
): Promise<Check> {
  const storage = output?.storage ?? (target === undefined ? undefined : await lookAtStorage(target));
  const stories = await output?.calls.stories();
  const present = storage && {
    standing: lookAtNames(storage),
    storage,
    spooled: await spooledCalls(storage),
  };
  const foreign = present && createForeignCheck(storage, stories, present);
  const mixes = target === undefined ? undefined : createMixCheck(outputFolder(target));
  const { maxAttempts, onUnknown, force, origin } = options;
  const rules: RowRules = { run: '', maxAttempts, onUnknown, force };
  const appraise = createAppraiser(output, present, origin, rules);
  const findings = createLongList<Finding>();
  const changes = noChanges();
  const sums = { selected: 0, invalid: 0, due: 0, uploadBytes: 0, storeBytes: 0 };
  const calls = createCallCount();
  /** Of the rows that are read together. */
  const looked = new Map<string, Call[]>();
  const callsOf = async (id: string): Promise<Call[]> => {
    const calls = looked.get(id) ?? (await stories?.of(id)) ?? [];
    looked.set(id, calls);
    return calls;
  };

  /** @returns is it done, and its picture at its name? */
  const look = async ({ row, place }: ReadRow): Promise<boolean> => {
    if (!row.selected) return false;
    sums.selected += 1;
    mixes?.(row);
    if (row.invalid !== undefined) {
      sums.invalid += 1;
      return false;
    }
    const story = await callsOf(row.id);
    for (const finding of (await foreign?.(row, place, story)) ?? []) findings.push(finding);
    const appraisal = await appraise(row, story);
    const { verdict, byOwnCalls } = appraisal;
    const maybeDone = compare(row, story, appraisal, changes, origin);
    if (verdict.is === 'due') {
      sums.due += 1;
      sums.storeBytes += expectedBytes(row.size);
      if (calls.add(row, maybeDone && !force)) sums.uploadBytes += uploadOf(row);
    }
    if (verdict.is !== 'done' || !byOwnCalls || !present) return false;
    return story.every((call) => call.closed) && isInPlace(row, verdict.call, story, present);
  };
  const { strict } = options.pictures;
  const preparer = createPreparer();
  const sink: ManifestSink = {
    async rows(rows) {
      for (const read of rows) {
        const isDone = await look(read);
        draft?.add(read.row, isDone);
      }
      looked.clear();
    },
    finding: (finding) => findings.push(finding),
    ...(draft && { embedded: (sha256, bytes) => draft.embed(sha256, bytes) }),
    inspect: inspectorOf(preparer, options.pictures),
    // Who wants nothing changed wants to hear of every picture.
    ...(stories &&
      !strict && {
        isKnown: async (id, picture) =>
          (knownSources([picture], await callsOf(id)) ?? (await output?.sightings.of([picture]))) !==
          undefined,
      }),
  };
  let manifest: Manifest;
  try {
    manifest = await readManifest(file, options.manifest, sink);
  } finally {
    await preparer.close();
  }
  if (storage && !output)
    for (const one of await findForeignReport(target ?? '', storage)) findings.push(one);
  // A failed.csv holds only some of the rows, so that none is gone.
  if (stories && !manifest.retry) await listGone(stories, manifest, changes);
  // Who asks for ids holds all ids and names of the manifest, and the plan that is made of it goes on for hours.
  const { hasId: _asked, ...told } = manifest;
  return toCheck(
    told,
    { findings, changes, sums: { ...sums, ...calls.sums() } },
    options,
    output !== undefined,
    target === undefined ? undefined : await freeBytes(outputFolder(target)),
  );
}

/** What was found while the rows were gone through. */
interface Found {
  findings: LongList<Finding>;
  changes: Changes;
  sums: Pick<Check, 'selected' | 'invalid' | 'due' | 'uploadBytes'> & Needed & { storeBytes: number };
}

/** Calls that rows need. */
interface Needed {
  calls: number;
  /** Those of them that may turn out to be needless: the pictures have another date but the length that was paid for. */
  maybeDone: number;
}

const nothing = { due: 0, calls: 0, maybeDone: 0, uploadBytes: 0, storeBytes: 0 };

/**
 * @param isAgainst an output is there to compare with
 * @param free bytes where it is or would be; undefined: none was named
 */
export function toCheck(
  manifest: Check['manifest'],
  { findings, changes, sums }: Found,
  options: CheckOptions,
  isAgainst: boolean,
  free: number | undefined,
): Check {
  const { due, calls, maybeDone, uploadBytes, storeBytes } = manifest.unskippable ? nothing : sums;
  return {
    manifest,
    findings,
    due,
    selected: sums.selected,
    invalid: sums.invalid,
    credits: creditsOf(calls, sums.selected - sums.invalid, options, maybeDone),
    atLimitMs: Math.max(0, Math.ceil(calls / options.callsPerWindow) - 1) * options.windowMs,
    uploadBytes,
    room: free === undefined || due === 0 ? undefined : { neededBytes: storeBytes, freeBytes: free },
    changes: isAgainst && !manifest.unskippable ? changes : undefined,
    close() {
      for (const list of [findings, ...Object.values(changes)]) list.close();
    },
  };
}

/** Pictures of rows that the manifest doesn't have; those it has and didn't choose are not gone. */
async function listGone(stories: Stories, manifest: Manifest, { gone }: Changes): Promise<void> {
  for await (const { id, calls } of stories.unasked(({ pictures }) => pictures > 0)) {
    if (!manifest.hasId(id) && calls.some((call) => call.closed?.picture)) gone.push(id);
  }
}

/** Extra calls that a run with so many rows chosen may pay for. */
export function extraCalls(rows: number, percent: number): number {
  return Math.floor((rows * percent) / 100) + 10;
}

/**
 * What a run may cost whose rows need so many calls if each succeeds at once.
 * @param chosen all its rows, also those that are done: its retry budget goes by them
 * @param maybeDone those calls that may turn out to be needless
 */
export function creditsOf(
  calls: number,
  chosen: number,
  options: Pick<CheckOptions, 'maxAttempts' | 'maxCredits' | 'retryBudget'>,
  maybeDone = 0,
): Credits {
  const cap = options.maxCredits ?? Infinity;
  const most = Math.min(calls * options.maxAttempts, calls + extraCalls(chosen, options.retryBudget));
  const needed = calls - maybeDone;
  return { least: Math.min(needed, cap), most: Math.min(most, cap), needed, maybeDone };
}

/**
 * Counts the calls that due rows need: those that surely ask for the same need one together. Equal pictures under other
 * names are only known as such when they are read.
 */
function createCallCount() {
  const asked = new KeyTable();
  const sums: Needed = { calls: 0, maybeDone: 0 };
  return {
    /** @param maybeDone the row may turn out to be done @returns does it need a call of its own? */
    add({ prompt, size, ratio, pictures }: Row, maybeDone: boolean): boolean {
      const key = JSON.stringify([prompt, size, ratio, pictures]);
      const before = asked.get(key);
      // Once one of them is done, all are.
      if (maybeDone && before !== 1) sums.maybeDone += 1;
      if (before === undefined) sums.calls += 1;
      if (before === undefined || maybeDone) asked.set(key, maybeDone ? 1 : 0);
      return before === undefined;
    },
    sums: () => sums,
  };
}

function uploadOf(row: Row): number {
  const bytes = row.pictures.map((picture) =>
    picture.kind === 'file' ? Math.ceil(picture.bytes / 3) * 4 : 0,
  );
  return bytes.reduce((sum, size) => sum + size, 0) + Buffer.byteLength(row.prompt) + 100;
}

/**
 * New pictures beside the ones they are made from would be the next run's input, and one day replace them.
 * @returns a function that takes row after row @throws UsageError as soon as a folder is of both kinds
 */
function createMixCheck(folder: string): (row: Row) => void {
  const read = createFolders();
  const written = createFolders();
  return ({ id, output, pictures }) => {
    const target = output === '' ? undefined : written.note(`${folder}/${output}`);
    const sources = pictures.flatMap((picture) => (picture.kind === 'file' ? read.note(picture.path) : []));
    const mixed =
      target !== undefined && read.has(target) ? target : sources.find((source) => written.has(source));
    if (mixed === undefined) return;
    throw new UsageError(
      `--output ${folder}: row "${printable(id, 80)}": pictures are read from the very folder that pictures would be ` +
        `written to (${mixed}); name another output folder`,
    );
  };
}

/** Folders of many files, most of which lie in the folder of the one before. */
function createFolders() {
  const known = new KeyTable();
  let last = '';
  return {
    has: (folder: string): boolean => folder === last || known.has(folder),
    note(file: string): string {
      const folder = dirname(file);
      if (folder !== last) known.set(folder, 1);
      last = folder;
      return folder;
    },
  };
}
