import type { Command, Violation } from './scene.ts';
import {
  askedBy,
  callsOf,
  isAttempt,
  isCall,
  keyOf,
  nameOf,
  type CallRecord,
  type PlanRow,
  type Run,
  type Told,
} from './told.ts';

/** Codes that leave a call's record open when its process ends: the surroundings failed, or a second signal came. */
const abrupt = new Set<number | null>([1, 130, 143, null]);

/** D6: the records are sound, and are what the contract says they are. */
export function* checkRecords(told: Told, commands: readonly Command[]): Generator<Violation> {
  const broken = (said: string): Violation => ({ invariant: 'D6', said: `${told.folder}: ${said}` });
  yield* told.damages;
  const runs = new Map(told.runs.map((run) => [run.run, run]));
  const planned = new Map(told.runs.map((run) => [run.run, plannedIn(run)]));
  const clean = new Set(commands.filter(({ code }) => !abrupt.has(code)).map(({ pid }) => pid));

  for (const run of told.runs) {
    const { rows } = run.options;
    if (run.plan.length !== rows)
      yield broken(`run ${run.run} has ${rows} rows, its plan ${run.plan.length}`);
    const odd = run.plan.find(({ row }, i) => row !== i + 1);
    if (odd) yield broken(`run ${run.run}: row ${odd.row} is not at its place in the plan`);
  }
  for (const [id, story] of told.stories) {
    yield* checkStory(id, story);
    for (const call of story) {
      const run = runs.get(call.run);
      const row = planned.get(call.run)?.get(id);
      if (!run || !row) yield broken(`${nameOf(call)}: run ${call.run} has no such row`);
      else if (isCall(call)) yield* checkOrder(call, row, run, story);
      else yield* checkCopy(call);
      if (!call.closed && clean.has(call.owner.pid))
        yield broken(`${nameOf(call)} is open, though its process ended well`);
    }
  }
  yield* checkContents();
  yield* checkIndex();

  /** Its place among the others of its row. */
  function* checkStory(id: string, story: CallRecord[]): Generator<Violation> {
    const folder = folderOf(id);
    for (const [i, call] of story.entries()) {
      if (call.n !== i + 1) yield broken(`row ${id}: call ${call.n} stands where call ${i + 1} should be`);
      if (!told.files.has(`${folder}/${call.n}.json`))
        yield broken(`${nameOf(call)} lies in another row's folder`);
      const before = story[i - 1];
      const run = before && runs.get(before.run);
      if (!before || !run) continue;
      const [began, start] = [Date.parse(before.started_at), Date.parse(call.started_at)];
      if (start < began) yield broken(`${nameOf(call)} was opened before call ${before.n}`);
      // One whose process may live, unheard, is over with its time-out.
      const over = Math.min(before.closed ? Date.parse(before.closed.at) : 0, began + run.options.timeout_ms);
      if (start < over) yield broken(`${nameOf(call)} was opened while call ${before.n} was in flight`);
    }
  }

  /** What the plan asks for, by the route whose turn it is. */
  function* checkOrder(
    call: CallRecord,
    row: PlanRow,
    { options }: Run,
    story: CallRecord[],
  ): Generator<Violation> {
    const before = story.filter(({ run, n }) => run === call.run && n < call.n).filter(isAttempt).length;
    const route = before % 2 === 0 ? row.route : 3 - row.route;
    if (call.route !== route)
      yield broken(`${nameOf(call)} took route ${call.route}; it was route ${route}'s turn`);
    if (before >= options.max_attempts)
      yield broken(`${nameOf(call)} is one attempt more than --max-attempts`);
    if (call.prompt !== row.prompt || call.size !== row.size || call.ratio !== row.ratio)
      yield broken(`${nameOf(call)} asks for something else than its row`);
    if (call.sources.length !== row.pictures.length)
      yield broken(`${nameOf(call)} has other pictures than its row`);
  }

  /** Another row's call brought the very picture. */
  function* checkCopy(call: CallRecord): Generator<Violation> {
    const payer = told.stories.get(call.paid_by?.id ?? '')?.find(({ n }) => n === call.paid_by?.n);
    const brought = payer?.closed?.picture;
    if (!payer || !brought || brought.sha256 !== call.closed?.picture?.sha256)
      yield broken(`${nameOf(call)} has its picture from a call that brought no such picture`);
    else if (askedBy(payer) !== askedBy(call))
      yield broken(`${nameOf(call)} asks for something else than its payer`);
  }

  /** A fingerprint says what is paid for, and who sent it had taken it on. */
  function* checkContents(): Generator<Violation> {
    const asked = new Map<string, string>();
    const fingerprints = new Map<string, string>();
    const taken = new Set(told.takers.map(({ fingerprint, id }) => `${fingerprint} ${id}`));
    for (const call of callsOf(told)) {
      const what = askedBy(call);
      const { fingerprint } = call;
      if (
        (asked.get(fingerprint) ?? what) !== what ||
        (fingerprints.get(what) ?? fingerprint) !== fingerprint
      )
        yield broken(`${nameOf(call)}: its fingerprint is not that of what it asks for`);
      asked.set(fingerprint, what);
      fingerprints.set(what, fingerprint);
      if (!taken.has(`${fingerprint} ${call.id}`))
        yield broken(`${nameOf(call)} was sent by a row that had not taken it on`);
    }
  }

  /** A line of the index says what the records say. */
  function* checkIndex(): Generator<Violation> {
    const stories = new Map([...told.stories].map(([id, story]) => [keyOf(id), story]));
    for (const [key, calls] of told.index) {
      for (const call of calls) {
        const now = stories.get(key)?.find(({ n }) => n === call.n);
        // A call's rule may change when its row is reported as held.
        if (
          !now ||
          JSON.stringify({ ...now, on_unknown: '' }) !== JSON.stringify({ ...call, on_unknown: '' })
        )
          yield broken(`the index says something else of ${nameOf(call)} than its record`);
      }
    }
  }
}

/** A plan's rows by id; a row that repeats another's has no calls. */
function plannedIn({ plan }: Run): Map<string, PlanRow> {
  const rows = new Map<string, PlanRow>();
  for (const row of plan) if (row.repeats !== true && !rows.has(row.id)) rows.set(row.id, row);
  return rows;
}

function folderOf(id: string): string {
  const key = keyOf(id);
  return `.reshoot/calls/${key.slice(0, 2)}/${key}`;
}
