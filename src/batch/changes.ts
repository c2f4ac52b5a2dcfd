import type { Row } from '../model.ts';
import type { Call } from '../records/call.ts';
import { fingerprint, knownSources } from '../records/fingerprint.ts';
import { judge, type RowRules, type Verdict } from '../records/state.ts';

/** How the rows of a manifest stand against what an output holds; each row is in one list. Ids. */
export interface Changes {
  /** Never sent to this API. */
  added: string[];
  /** They have a picture that was made of something else. */
  changed: { id: string; what: string[] }[];
  unchanged: string[];
  held: string[];
  /** Failed for good: not sent until they change. */
  failed: string[];
  /** Sent without success so far, and to be sent again. */
  sentBefore: string[];
  /** Pictures of rows that the manifest doesn't have. */
  gone: string[];
}

/** All calls of an output by their rows' ids. */
export type Stories = ReadonlyMap<string, Call[]>;

/** Would a run work on the row? */
export function isDue(row: Row, stories: Stories, origin: string, rules: RowRules): boolean {
  return verdictOn(row, stories.get(row.id) ?? [], origin, rules).is === 'due';
}

/**
 * Compares rows with the calls made for them so far, whether they are to be forced or not.
 * @param chosen the rows that a run would look at
 * @param known ids of all rows that the user has; undefined: the manifest holds only some of them
 */
export function compare(
  chosen: Row[],
  known: ReadonlySet<string> | undefined,
  stories: Stories,
  origin: string,
  rules: RowRules,
): Changes {
  const changes: Changes = {
    added: [],
    changed: [],
    unchanged: [],
    held: [],
    failed: [],
    sentBefore: [],
    gone: [],
  };
  for (const row of chosen) file(row, stories.get(row.id) ?? [], changes, origin, { ...rules, force: false });
  if (!known) return changes;
  for (const [id, calls] of stories) {
    if (!known.has(id) && calls.some((call) => call.closed?.picture)) changes.gone.push(id);
  }
  return changes;
}

/** Puts a row into its list. */
function file(row: Row, calls: Call[], changes: Changes, origin: string, rules: RowRules): void {
  const here = calls.filter((call) => call.origin === origin);
  const { is } = verdictOn(row, calls, origin, rules);
  const last = here.findLast((call) => call.closed?.picture);
  if (is === 'done') changes.unchanged.push(row.id);
  else if (is === 'held') changes.held.push(row.id);
  else if (is === 'failed') changes.failed.push(row.id);
  else if (last) changes.changed.push({ id: row.id, what: differences(row, calls, last) });
  else if (here.length > 0) changes.sentBefore.push(row.id);
  else changes.added.push(row.id);
}

function verdictOn(row: Row, calls: Call[], origin: string, rules: RowRules): Verdict {
  const sources = knownSources(row.pictures, calls);
  return judge(row.route, calls, sources && fingerprint(origin, row, sources), rules);
}

/** What a row asks for that its finished picture was not made from. */
function differences(row: Row, calls: Call[], last: Call): string[] {
  const fields = (['prompt', 'size', 'ratio'] as const).filter((field) => row[field] !== last[field]);
  const known = knownSources(row.pictures, calls);
  const content = (sources: Call['sources']): string =>
    sources.map((source) => (source.kind === 'url' ? source.url : source.sha256)).join();
  return known && content(known) === content(last.sources) ? fields : [...fields, 'image'];
}
