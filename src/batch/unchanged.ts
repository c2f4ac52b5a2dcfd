import { createSameness } from '../manifest/same-pictures.ts';
import type { Run, Seal } from '../records/runs.ts';
import type { AskedFrom } from './asked.ts';
import { noChanges } from './changes.ts';
import { toCheck, type Check, type CheckOptions } from './check.ts';
import type { PlanSource } from './draft.ts';
import { createFolders, type Folders } from './folders.ts';
import { createLongList } from '../long-list.ts';
import type { Output } from './output.ts';
import { holds } from './seal.ts';

/** The plan of an earlier run, all of whose rows are done, as the plan of another. */
export interface CarriedDraft extends PlanSource {
  carriedFrom: string;
}

/** What a manifest comes to that is known without reading it. */
export interface Carried {
  check: Check;
  draft: CarriedDraft;
}

/**
 * Checks a manifest by the plan of the latest run, where that left nothing to do and nothing has changed since: not the
 * manifest, no option, no picture, no record, nothing in the output.
 * @returns undefined: something has changed, or may have; only a check of the manifest can tell
 */
export async function carryOver(
  asked: AskedFrom | undefined,
  options: CheckOptions,
  output: Output | undefined,
): Promise<Carried | undefined> {
  if (!asked || !output || options.force) return undefined;
  // Whatever is damaged will be said by who needs it.
  const latest = await latestSealed(output).catch(() => undefined);
  if (latest?.asked.hash !== asked.hash) return undefined;
  const changes = noChanges();
  const folders = createFolders();
  const isSame = await goThrough(latest, asked.root, output, folders, (id) =>
    changes.unchanged.push(id),
  ).catch(() => false);
  const findings = createLongList<never>();
  const { run, seal, rows, columns } = latest;
  for (const id of seal.gone) changes.gone.push(id);
  const manifest = {
    rows,
    findings: 0,
    unskippable: false,
    notes: latest.asked.notes,
    columns,
    retry: false,
  };
  const sums = { selected: rows, invalid: 0, due: 0, calls: 0, maybeDone: 0, uploadBytes: 0, storeBytes: 0 };
  const check = toCheck(manifest, { findings, changes, sums }, options, true, undefined);
  if (!isSame) {
    check.close();
    return undefined;
  }
  const done = Array.from({ length: rows }, (_, i) => i + 1);
  return {
    check,
    draft: {
      carriedFrom: run,
      rows,
      chosen: rows,
      done,
      folders,
      lines: () => output.runs.planBytes(run),
      asked: () => latest.asked.rows,
      close: () => undefined,
    },
  };
}

interface Sealed extends Pick<Run, 'run' | 'rows' | 'columns'> {
  asked: NonNullable<Run['asked']>;
  seal: Seal;
}

async function latestSealed({ runs }: Output): Promise<Sealed | undefined> {
  const run = (await runs.list()).at(-1);
  const seal = run === undefined ? undefined : (await runs.end(run))?.seal;
  if (run === undefined || !seal) return undefined;
  const { rows, columns, asked } = await runs.read(run);
  return asked && { run, rows, columns, asked, seal };
}

/** @returns is everything as it was when the run was sealed? */
async function goThrough(
  { run, rows: count, seal }: Sealed,
  root: string,
  output: Output,
  folders: Folders,
  take: (id: string) => void,
): Promise<boolean> {
  if (!(await holds(output, run, seal))) return false;
  const areSame = createSameness(root);
  let taken = 0;
  for await (const planned of output.runs.plan(run)) {
    const rows = planned.map(({ read }) => read());
    if (!(await areSame(rows))) return false;
    for (const row of rows) {
      folders.note(row);
      take(row.id);
    }
    taken += rows.length;
  }
  return taken === count && (await folders.look(output.storage))?.state === seal.folders;
}
