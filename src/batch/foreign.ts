import { KeyTable } from '../key-table.ts';
import { folded } from '../manifest/names.ts';
import type { Finding, Row } from '../model.ts';
import { callId, type Call } from '../records/call.ts';
import type { Stories } from '../records/stories.ts';
import type { Storage } from '../storage/storage.ts';
import type { Present } from './end.ts';
import { outputName, withoutExtension } from './keep.ts';

const pictureExtensions = ['jpg', 'jpeg', 'png', 'webp', 'gif', 'avif', 'heic', 'tif', 'tiff', 'bmp', 'jxl'];

/**
 * Looks at what stands at the names of rows. Files that our records don't know, and names that lead out of the output,
 * are findings; those that they know are noted in the row, since they make room for its picture.
 * @param stories undefined: nothing was ever recorded in this folder
 * @returns a function of a row, its place in the manifest and its calls
 */
export function createForeignCheck(
  storage: Storage,
  stories: Stories | undefined,
  { standing, spooled }: Present,
): (row: Row, place: Pick<Finding, 'file' | 'line'>, calls: Call[]) => Promise<Finding[]> {
  // What is still in the spool may never have come to its name.
  const namesOf = (calls: Call[]): string[] =>
    calls.flatMap((call) => (spooled.has(callId(call)) ? [] : (call.closed?.picture?.output ?? [])));
  let ours: Promise<Ours> | undefined;
  const isOurs = async (name: string): Promise<boolean> => {
    ours ??= collect(stories, namesOf);
    const { names, contents } = await ours;
    return names.has(name) || contents.has((await storage.hash(name)) ?? '');
  };

  return async (row, place, calls) => {
    if (row.output === '') return [];
    const at = { ...place, column: 'output', value: row.output };
    if (await standing.leadsOut(row.output)) {
      const problem = 'this name leads out of the output folder through a link';
      return [{ ...at, problem, remedy: 'remove the link, or name another output' }];
    }
    const own = namesOf(calls);
    const findings: Finding[] = [];
    const there = await standing.alike(row.output, likely(own, row));
    // The row's own earlier picture makes room by its records.
    const others = there.filter(
      (name) => !own.includes(name) || withoutExtension(name) !== withoutExtension(row.output),
    );
    const possible = others.length > 0 ? possibleNames(row).map(folded) : [];
    for (const name of others) {
      if (!possible.includes(folded(name))) continue;
      if (await isOurs(name)) {
        row.replaces = [...(row.replaces ?? []), name];
        continue;
      }
      const problem = `a file that reshoot did not write stands there: ${name}`;
      findings.push({ ...at, problem, remedy: 'move it away, or name another output folder' });
    }
    return findings;
  };
}

/** Everything that was ever put into the output, by hashes. */
interface Ours {
  names: KeyTable;
  contents: KeyTable;
}

async function collect(stories: Stories | undefined, namesOf: (calls: Call[]) => string[]): Promise<Ours> {
  const ours = { names: new KeyTable(), contents: new KeyTable() };
  if (!stories) return ours;
  for await (const { calls } of stories.all(({ pictures }) => pictures > 0)) {
    for (const name of namesOf(calls)) ours.names.set(name, 1);
    for (const { closed } of calls) if (closed?.picture) ours.contents.set(closed.picture.sha256, 1);
  }
  return ours;
}

function* likely(own: string[], row: Row): Iterable<string> {
  yield* own;
  yield* possibleNames(row);
}

/** The names a row's picture may get. */
function possibleNames(row: Row): string[] {
  return row.output.includes('{ext}') ? pictureExtensions.map((ext) => outputName(row, ext)) : [row.output];
}

/** A first run into a folder must not replace files that happen to be called as its report's. */
export async function findForeignReport(target: string, storage: Storage): Promise<Finding[]> {
  const [first] = await storage.list('report');
  if (first === undefined) return [];
  const problem = `reshoot writes its report to report/, and something else stands there already: report/${first}`;
  return [{ file: target, problem, remedy: 'move it away, or name another output folder' }];
}
