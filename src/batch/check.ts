import { dirname } from 'node:path';
import { UsageError } from '../errors.ts';
import { readManifest, type Manifest } from '../manifest/read.ts';
import type { ManifestOptions } from '../manifest/options.ts';
import type { Finding, Row } from '../model.ts';
import { callId, type Call } from '../records/call.ts';
import type { RowRules } from '../records/state.ts';
import { lookAtStorage, outputFolder } from '../storage/open.ts';
import type { Storage } from '../storage/storage.ts';
import { compare, isDue, type Changes } from './changes.ts';
import { outputName, spooledCalls } from './keep.ts';
import type { Output } from './output.ts';

export interface CheckOptions {
  manifest: ManifestOptions;
  maxAttempts: number;
  /** Hard cap of credits; undefined: none. */
  maxCredits: number | undefined;
  /** In percent of the rows. */
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
  manifest: Manifest;
  /** Everything that is wrong. */
  findings: Finding[];
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
  /** With an output only, and where the manifest as a whole is right. */
  changes: Changes | undefined;
}

/** What a run may pay, its cap considered. */
interface Credits {
  least: number;
  most: number;
  /** What the rows need at least, whatever the cap. */
  needed: number;
}

/**
 * Reads and checks everything, against the output too where there is one.
 * @param output undefined: none was named, or it doesn't exist yet
 * @throws UsageError when the manifest can't be read at all, or the output would mix with the pictures it is made from
 */
export async function checkManifest(
  file: string,
  options: CheckOptions,
  target: string | undefined,
  output: Output | undefined,
): Promise<Check> {
  const manifest = await readManifest(file, options.manifest);
  const rows = manifest.rows.filter(({ selected }) => selected);
  const findings = [...manifest.findings];
  if (target !== undefined) refuseInputFolder(rows, outputFolder(target));
  const stories = output ? await output.calls.storiesById() : new Map<string, Call[]>();
  const storage = output?.storage ?? (target === undefined ? undefined : await lookAtStorage(target));
  if (storage) findings.push(...(await findForeign(manifest, rows, storage, stories)));
  if (storage && !output) findings.push(...(await findForeignReport(target ?? '', storage)));
  const { maxAttempts, onUnknown, force, origin } = options;
  const rules: RowRules = { run: '', maxAttempts, onUnknown, force };
  const sound = manifest.unskippable ? [] : rows.filter(({ invalid }) => invalid === undefined);
  const due = sound.filter((row) => isDue(row, stories, origin, rules));
  // A failed.csv holds only some of the rows, so that none is gone.
  const known = manifest.retry ? undefined : new Set(manifest.rows.map(({ id }) => id));
  return {
    manifest,
    findings,
    due: due.length,
    selected: rows.length,
    invalid: rows.filter(({ invalid }) => invalid !== undefined).length,
    credits: creditsOf(due.length, options),
    atLimitMs: Math.max(0, Math.ceil(due.length / options.callsPerWindow) - 1) * options.windowMs,
    uploadBytes: due.reduce((sum, row) => sum + uploadOf(row), 0),
    changes: output && !manifest.unskippable ? compare(sound, known, stories, origin, rules) : undefined,
  };
}

/** Extra calls that a run over so many rows may pay for. */
export function extraCalls(rows: number, percent: number): number {
  return Math.floor((rows * percent) / 100) + 10;
}

function creditsOf(due: number, options: CheckOptions): Credits {
  const cap = options.maxCredits ?? Infinity;
  const most = Math.min(due * options.maxAttempts, due + extraCalls(due, options.retryBudget));
  return { least: Math.min(due, cap), most: Math.min(most, cap), needed: due };
}

function uploadOf(row: Row): number {
  const bytes = row.pictures.map((picture) =>
    picture.kind === 'file' ? Math.ceil(picture.bytes / 3) * 4 : 0,
  );
  return bytes.reduce((sum, size) => sum + size, 0) + Buffer.byteLength(row.prompt) + 100;
}

/** New pictures beside the ones they are made from would be the next run's input, and one day replace them. */
function refuseInputFolder(rows: Row[], folder: string): void {
  const named = rows.filter(({ output }) => output !== '');
  const targets = new Set(named.map((row) => dirname(`${folder}/${row.output}`)));
  for (const row of rows) {
    for (const picture of row.pictures) {
      if (picture.kind === 'file' && targets.has(dirname(picture.path))) {
        throw new UsageError(
          `--output ${folder}: row "${row.id}" reads its picture from the very folder that pictures would be written to ` +
            `(${dirname(picture.path)}); name another output folder`,
        );
      }
    }
  }
}

const pictureExtensions = ['jpg', 'jpeg', 'png', 'webp', 'gif', 'avif', 'heic', 'tif', 'tiff', 'bmp', 'jxl'];

/** As file systems that ignore case and Unicode form compare names. */
const folded = (name: string): string => name.normalize('NFC').toLowerCase();

/**
 * Files at an output's name that our records don't know, and names that lead out of the output: findings. Those that
 * they know are noted in the row, since they make room for its picture.
 */
async function findForeign(
  manifest: Manifest,
  rows: Row[],
  storage: Storage,
  stories: Map<string, Call[]>,
): Promise<Finding[]> {
  const calls = [...stories.values()].flat();
  const spooled = await spooledCalls(storage);
  const picturesOf = (some: Call[]) => some.flatMap((call) => call.closed?.picture ?? []);
  const ours = {
    // What is still in the spool may never have come to its name.
    names: new Set(
      picturesOf(calls.filter((call) => !spooled.has(callId(call)))).map(({ output }) => output),
    ),
    contents: new Set(picturesOf(calls).map(({ sha256 }) => sha256)),
  };
  const folders = new Map<string, Promise<Map<string, string>>>();
  const standing = (folder: string): Promise<Map<string, string>> => {
    const listed = folders.get(folder) ?? listFolder(storage, folder);
    folders.set(folder, listed);
    return listed;
  };
  const findings: Finding[] = [];
  for (const row of rows) {
    if (row.invalid !== undefined || row.output === '') continue;
    const finding = { ...manifest.placeOf(row), column: 'output', value: row.output };
    if (await storage.leadsOut(row.output)) {
      const problem = 'this name leads out of the output folder through a link';
      findings.push({ ...finding, problem, remedy: 'remove the link, or name another output' });
      continue;
    }
    const folder = dirname(row.output);
    const there = await standing(folder === '.' ? '' : folder);
    for (const name of namesOf(row).flatMap((name) => there.get(folded(name)) ?? [])) {
      if (ours.names.has(name) || ours.contents.has((await storage.hash(name)) ?? '')) {
        row.replaces = [...(row.replaces ?? []), name];
        continue;
      }
      const problem = `a file that reshoot did not write stands there: ${name}`;
      findings.push({ ...finding, problem, remedy: 'move it away, or name another output folder' });
    }
  }
  return findings;
}

/** A first run into a folder must not replace files that happen to be called as its report's. */
async function findForeignReport(target: string, storage: Storage): Promise<Finding[]> {
  const [first] = await storage.list('report');
  if (first === undefined) return [];
  const problem = `reshoot writes its report to report/, and something else stands there already: report/${first}`;
  return [{ file: target, problem, remedy: 'move it away, or name another output folder' }];
}

/** A folder's files by their folded names. */
async function listFolder(storage: Storage, folder: string): Promise<Map<string, string>> {
  const names = (await storage.list(folder)).map((name) => (folder === '' ? name : `${folder}/${name}`));
  return new Map(names.map((name) => [folded(name), name]));
}

/** The names a row's picture may get. */
function namesOf(row: Row): string[] {
  return row.output.includes('{ext}') ? pictureExtensions.map((ext) => outputName(row, ext)) : [row.output];
}
