import type { Row, Source } from '../model.ts';
import type { Call } from '../records/call.ts';
import { fingerprint, knownSources } from '../records/fingerprint.ts';
import { judge, type RowRules, type Verdict } from '../records/state.ts';
import { isLost, type Present } from './end.ts';
import type { Output } from './output.ts';

/** What a run would make of a row, as far as that can be told without reading its pictures. */
export interface Appraisal {
  verdict: Verdict;
  /** The same without `--force`. */
  unforced: Verdict;
  /** Undefined where a file is new or has changed. */
  sources: Source[] | undefined;
  /** Its own calls tell all of it, so that no worker need look at it. */
  byOwnCalls: boolean;
}

/**
 * Judges rows as a worker will: by their own calls, else by those of rows that asked for the same; a picture that is
 * gone from the output doesn't count.
 */
export function createAppraiser(
  output: Output | undefined,
  present: Present | undefined,
  origin: string,
  rules: RowRules,
): (row: Row, calls: Call[]) => Promise<Appraisal> {
  /** Of calls that paid for it, those whose pictures are gone are none. */
  const without = async (row: Row, paid: string | undefined, calls: Call[], own: Call[]): Promise<Call[]> => {
    const left: Call[] = [];
    for (const call of calls) {
      const isPayer = present !== undefined && call.fingerprint === paid;
      const lost = isPayer && (await isLost(row, call, own, present));
      left.push(lost ? { ...call, fingerprint: '' } : call);
    }
    return left;
  };
  const callsOfOthers = async (row: Row, paid: string): Promise<Call[]> => {
    const takers = (await output?.contents.takers(paid)) ?? [];
    const ids = new Set(takers.flatMap(({ id }) => (id === undefined || id === row.id ? [] : [id])));
    const calls: Call[] = [];
    for (const id of ids) calls.push(...((await output?.calls.story(id)) ?? []));
    return calls.sort((a, b) => Date.parse(a.started_at) - Date.parse(b.started_at));
  };

  return async (row, calls) => {
    const own = knownSources(row.pictures, calls);
    const sources = own ?? (await output?.sightings.of(row.pictures));
    const paid = sources && fingerprint(origin, row, sources);
    const by = (known: Call[], force: boolean): Verdict => judge(row.route, known, paid, { ...rules, force });
    let known = await without(row, paid, calls, calls);
    const byOwn = by(known, false);
    if (byOwn.is === 'due' && paid !== undefined) {
      known = [...known, ...(await without(row, paid, await callsOfOthers(row, paid), calls))];
    }
    return {
      verdict: by(known, rules.force),
      unforced: by(known, false),
      sources,
      byOwnCalls: own !== undefined && byOwn.is !== 'due',
    };
  };
}
