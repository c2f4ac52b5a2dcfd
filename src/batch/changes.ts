import type { Picture, Row, Source } from '../model.ts';
import type { Call } from '../records/call.ts';
import type { Appraisal } from './appraise.ts';
import { createLongList, type LongList } from '../long-list.ts';

/** How the rows of a manifest stand against what an output holds; each row is in one list. Ids. */
export interface Changes {
  /** Never sent to this API. */
  added: LongList<string>;
  /** They have a picture that was made of something else, or had one that is gone (`output`). */
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
 * @returns may it turn out to be done already, once its pictures are read?
 */
export function compare(
  row: Row,
  calls: Call[],
  { unforced: { is }, sources }: Appraisal,
  changes: Changes,
  origin: string,
): boolean {
  const here = calls.filter((call) => call.origin === origin);
  const last = here.findLast((call) => call.closed?.picture);
  if (is === 'done') changes.unchanged.push(row.id);
  else if (is === 'held') changes.held.push(row.id);
  else if (is === 'failed') changes.failed.push(row.id);
  else if (last) {
    const what = differences(row, sources, last);
    changes.changed.push({ id: row.id, what });
    return sources === undefined && what.length === 1 && hasSameLengths(row, last);
  } else if (here.length > 0) changes.sentBefore.push(row.id);
  else changes.added.push(row.id);
  return false;
}

/** What a row asks for that its finished picture was not made from; else that picture is gone. */
function differences(row: Row, sources: Source[] | undefined, last: Call): string[] {
  const fields = (['prompt', 'size', 'ratio'] as const).filter((field) => row[field] !== last[field]);
  const content = (all: Source[]): string =>
    all.map((source) => (source.kind === 'url' ? source.url : source.sha256)).join();
  const what = sources && content(sources) === content(last.sources) ? fields : [...fields, 'image'];
  return what.length === 0 ? ['output'] : what;
}

/** A file that was copied or touched has another date and the same length. */
function hasSameLengths({ pictures }: Row, { sources }: Call): boolean {
  const lengths = (all: (Picture | Source)[]): string =>
    all.map((one) => (one.kind === 'file' ? one.bytes : one.url)).join();
  return lengths(pictures) === lengths(sources);
}
