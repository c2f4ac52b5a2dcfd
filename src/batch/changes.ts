import type { Row } from '../model.ts';
import type { Call } from '../records/call.ts';
import { fingerprint, knownSources } from '../records/fingerprint.ts';
import { judge, type RowRules, type Verdict } from '../records/state.ts';
import { createLongList, type LongList } from './long-list.ts';

/** How the rows of a manifest stand against what an output holds; each row is in one list. Ids. */
export interface Changes {
  /** Never sent to this API. */
  added: LongList<string>;
  /** They have a picture that was made of something else. */
  changed: LongList<{ id: string; what: string[] }>;
  unchanged: LongList<string>;
  held: LongList<string>;
  /** Failed for good: not sent until they change. */
  failed: LongList<string>;
  /** Sent without success so far, and to be sent again. */
  sentBefore: LongList<string>;
  /** Pictures of rows that the manifest doesn't have. */
  gone: LongList<string>;
}

export function noChanges(): Changes {
  return {
    added: createLongList(),
    changed: createLongList(),
    unchanged: createLongList(),
    held: createLongList(),
    failed: createLongList(),
    sentBefore: createLongList(),
    gone: createLongList(),
  };
}

/**
 * Puts a row into its list, whether it is to be forced or not.
 * @param calls all calls made for it so far
 * @returns what a run would make of it
 */
export function compare(row: Row, calls: Call[], changes: Changes, origin: string, rules: RowRules): Verdict {
  const here = calls.filter((call) => call.origin === origin);
  const verdict = verdictOn(row, calls, origin, { ...rules, force: false });
  const { is } = verdict;
  const last = here.findLast((call) => call.closed?.picture);
  if (is === 'done') changes.unchanged.push(row.id);
  else if (is === 'held') changes.held.push(row.id);
  else if (is === 'failed') changes.failed.push(row.id);
  else if (last) changes.changed.push({ id: row.id, what: differences(row, calls, last) });
  else if (here.length > 0) changes.sentBefore.push(row.id);
  else changes.added.push(row.id);
  return rules.force ? verdictOn(row, calls, origin, rules) : verdict;
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
