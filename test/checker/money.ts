import { printable } from '../../src/cells.ts';
import { grouped } from './grouped.ts';
import type { Scene, Violation } from './scene.ts';
import { askedBy, callsOf, chargeOf, nameOf, type CallRecord, type Run, type Told } from './told.ts';

/** So far two clocks of one machine may be apart. */
const clocksMs = 250;
/** As much of a prompt as the API's log keeps. */
const promptLength = 80;

type Seen = Scene['api'][number];

/** A call with the run it was made for. */
interface Booked {
  call: CallRecord;
  run: Run | undefined;
}

/** I3, I7 and I10: what was paid is booked, was wanted, and is below the cap. */
export function* checkMoney(outputs: readonly Told[], { api }: Scene): Generator<Violation> {
  const booked = outputs.flatMap((told) => {
    const runs = new Map(told.runs.map((run) => [run.run, run]));
    return callsOf(told).map((call): Booked => ({ call, run: runs.get(call.run) }));
  });
  yield* checkBooked(
    booked.map(({ call }) => call),
    api.filter(({ process }) => process !== ''),
  );
  for (const told of outputs) yield* checkTwice(told);
  yield* checkCaps(booked);
}

/** Call by call, as far as the API's log tells them apart: by route and prompt. */
function* checkBooked(calls: CallRecord[], seen: Seen[]): Generator<Violation> {
  const wrong = (said: string): Violation => ({ invariant: 'I3', said });
  const sent = calls.filter(({ closed }) => closed?.outcome !== 'not_sent');
  const [ours, theirs] = [grouped(sent, kindOf), grouped(seen.filter(isWhole), kindOf)];
  for (const [kind, come] of theirs) {
    const own = (ours.get(kind) ?? []).map(({ started_at }) => Date.parse(started_at)).sort((a, b) => a - b);
    if (come.length > own.length)
      yield wrong(`the API saw ${come.length} calls "${kind}"; on record are ${own.length}`);
    const late = come
      .map(({ at }) => at)
      .sort((a, b) => a - b)
      .find((at, i) => at + clocksMs < (own[i] ?? 0));
    if (late !== undefined) yield wrong(`a call "${kind}" came before it was on record`);
  }
  for (const [kind, own] of ours) {
    const come = theirs.get(kind) ?? [];
    const answered = own.filter(
      ({ closed }) => closed?.outcome === 'succeeded' || closed?.charged === 'yes',
    ).length;
    if (come.length < answered)
      yield wrong(`of the calls "${kind}" ${answered} were paid; the API saw ${come.length}`);
    const paid = come.filter(({ charged }) => charged).length;
    const { yes, unknown } = chargesOf(own);
    if (paid < yes || paid > yes + unknown)
      yield wrong(`of the calls "${kind}" ${paid} were paid; on record are ${yes}, and ${unknown} unknown`);
  }
  const answered = calls.filter(({ closed }) => closed?.http_status !== undefined).length;
  if (seen.length < answered || seen.length > calls.length)
    yield wrong(
      `the API saw ${seen.length} calls; on record are ${calls.length}, ${answered} of them answered`,
    );
}

const isWhole = ({ row }: Seen): boolean => row !== undefined;

const kindOf = (call: CallRecord | Seen): string =>
  `${call.route} ${'prompt' in call ? printable(call.prompt, promptLength) : call.row}`;

const chargesOf = (calls: CallRecord[]) => ({
  yes: calls.filter((call) => chargeOf(call) === 'yes').length,
  unknown: calls.filter((call) => chargeOf(call) === 'unknown').length,
});

/**
 * The same is paid for again only where its picture was none, or the first charge is unknown and that is listed, or
 * somebody wanted it again.
 */
function* checkTwice(told: Told): Generator<Violation> {
  const runs = new Map(told.runs.map((run) => [run.run, run.options]));
  const paid = callsOf(told).filter((call) => chargeOf(call) !== 'no');
  for (const same of grouped(paid, askedBy).values()) {
    same.sort((a, b) => Date.parse(a.started_at) - Date.parse(b.started_at));
    for (const [i, call] of same.entries()) {
      const options = runs.get(call.run);
      const wanted = options?.force === true || options?.again !== undefined;
      for (const before of same.slice(0, i)) {
        const isOther = before.run !== call.run;
        if (
          before.closed?.picture &&
          Date.parse(before.closed.at) < Date.parse(call.started_at) &&
          !(isOther && wanted)
        ) {
          const said = `${told.folder}: ${nameOf(call)} paid again for what ${nameOf(before)} had brought`;
          if (isThere(told, before.closed.picture.sha256)) yield { invariant: isOther ? 'I7' : 'I3', said };
        }
        const isListed =
          before.id === call.id || (call.after ?? []).some(({ id, n }) => id === before.id && n === before.n);
        if (chargeOf(before) === 'unknown' && !isListed)
          yield {
            invariant: 'I3',
            said: `${told.folder}: ${nameOf(call)} hides that ${nameOf(before)} may have been paid`,
          };
      }
    }
  }
}

/** Who has deleted a picture has it made again. */
const isThere = ({ pictures }: Told, sha256: string): boolean => pictures.has(sha256);

function* checkCaps(booked: Booked[]): Generator<Violation> {
  const exceeded = (said: string): Violation => ({ invariant: 'I10', said });
  const paid = booked.filter(({ call }) => chargeOf(call) !== 'no');
  for (const [run, own] of grouped(paid, ({ run }) => run)) {
    if (!run) continue;
    const { max_credits: cap = Infinity, retry_budget: budget } = run.options;
    if (own.length > cap)
      yield exceeded(`run ${run.run}: ${own.length} credits may be spent; its cap is ${cap}`);
    const rows = new Set(own.map(({ call }) => call.id)).size;
    if (own.length - rows > budget)
      yield exceeded(
        `run ${run.run}: ${own.length - rows} extra calls may be paid; its retry budget is ${budget}`,
      );
  }
  const dayOf = ({ started_at }: CallRecord, timeZone: string): string =>
    new Intl.DateTimeFormat('en', { timeZone, dateStyle: 'short' }).format(Date.parse(started_at));
  for (const { call, run } of paid) {
    const { max_credits_per_day: cap, time_zone: zone = 'UTC' } = run?.options ?? {};
    if (cap === undefined) continue;
    const day = dayOf(call, zone);
    const same = paid.filter(
      ({ call: other }) =>
        other.account === call.account && other.started_at <= call.started_at && dayOf(other, zone) === day,
    );
    if (same.length > cap)
      yield exceeded(
        `account ${call.account}: ${nameOf(call)} is credit ${same.length} of ${day}; the cap is ${cap}`,
      );
  }
}
