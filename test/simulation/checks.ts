import { exitCodes } from '../../src/errors.ts';
import type { Row } from '../../src/model.ts';
import {
  callId,
  callSchema,
  chargeOf,
  isAttempt,
  isCopy,
  mayBePaid,
  type Call,
} from '../../src/records/call.ts';
import { overAt } from '../../src/batch/in-flight.ts';
import type { Run } from '../../src/records/runs.ts';
import { guardMs, slotLifeMs } from '../../src/throttle/policy.ts';
import type { Api, Served } from './api.ts';
import { sha256, type Disk } from './disk.ts';
import type { Process, Scheduler } from './scheduler.ts';

interface ChecksOptions {
  sim: Scheduler;
  disk: Disk;
  api: Api;
  processes: Map<string, Process>;
  limit: number;
  windowMs: number;
}

/** What was asked of a run. */
interface Asked {
  rows: Row[];
  cap: number | undefined;
  maxAttempts: number;
}

/** Of the report. */
interface ResultLine {
  id: string;
  status: string;
  output?: string;
  sha256?: string;
  error_message: string | null;
}

interface Spent {
  credits: number;
  extra: number;
}

export type Checks = ReturnType<typeof createChecks>;

/** Holds what the API alone knows against what the records say. */
export function createChecks({ sim, disk, api, processes, limit, windowMs }: ChecksOptions) {
  let failure: Error | undefined;
  const asked = new Map<string, Asked & { before: Spent }>();

  const wrong = (what: string): void => {
    sim.note(`WRONG: ${what}`);
    failure ??= new Error(what);
  };
  const expect = (isSo: boolean, what: string): void => {
    if (!isSo) wrong(what);
  };

  const read = (name: string): unknown => {
    const bytes = disk.files.get(name)?.bytes;
    return bytes && (JSON.parse(bytes.toString()) as unknown);
  };
  const recordOf = (call: string): Call | undefined => {
    const [key = '', n] = call.split('-');
    const found = read(`.reshoot/calls/${key.slice(0, 2)}/${key}/${n}.json`);
    return found === undefined ? undefined : callSchema.parse(found);
  };
  const records = (): Call[] => {
    const names = [...disk.files.keys()].filter((name) => name.startsWith('.reshoot/calls/'));
    return names.map((name) => callSchema.parse(read(name)));
  };
  const runOf = (run: string): Run => read(`.reshoot/runs/${run}/run.json`) as Run;

  /** May its process still bring it to an end, in truth? One that was silent for long may be taken for dead. */
  const isInFlight = (call: Call, opener: Process): boolean => {
    const process = processes.get(`${call.owner.host} ${call.owner.pid}`);
    if (!process || process.dead || sim.wall >= overAt(call, runOf(call.run))) return false;
    const isHere = process.owner.host === opener.owner.host;
    return isHere && api.log.some((served) => served.call === callId(call));
  };

  const onBegin = (served: Served): void => {
    const record = recordOf(served.call);
    const name = served.call.slice(-8);
    if (!record || record.closed) return wrong(`call ${name} is sent without an open record`);
    expect(record.fingerprint === served.fingerprint, `call ${name} is sent for something else`);
    expect(!api.log.some(({ call }) => call === served.call), `call ${name} is sent twice`);
    expect(record.account === served.account, `call ${name} is sent by another account`);
    if (runOf(record.run).force) return;
    for (const other of records()) {
      if (other.fingerprint !== record.fingerprint || callId(other) === callId(record)) continue;
      const otherName = `${other.id} ${other.n}`;
      // Whoever was taken for dead may end its call in the moment in which the next one goes out.
      if (other.closed?.picture && other.closed.at < record.started_at)
        wrong(`call ${record.id} ${record.n} is sent though ${otherName} brought the picture`);
      if (other.closed || isCopy(other)) continue;
      if (isInFlight(other, served.by))
        wrong(`call ${record.id} ${record.n} is sent while ${otherName} is in flight`);
      else if (other.id !== record.id && other.started_at < record.started_at)
        expect(
          record.after?.some(({ id, n }) => id === other.id && n === other.n) ?? false,
          `call ${record.id} ${record.n} does not list ${otherName}, which may have been paid`,
        );
    }
  };

  /** No more than the limit within so much time. */
  const expectLimit = (times: number[], widthMs: number, account: string): void => {
    const sorted = times.toSorted((a, b) => a - b);
    for (const [i, at] of sorted.entries()) {
      const last = sorted[i + limit];
      if (last !== undefined && last - at < widthMs)
        return wrong(
          `account ${account} was sent ${limit + 1} calls within ${Math.round(last - at)} ms, at ${(at / 1000).toFixed(3)}`,
        );
    }
  };

  const expectBooks = (all: Call[]): void => {
    for (const call of all) {
      if (isCopy(call)) continue;
      const served = api.log.find((one) => one.call === callId(call));
      const charge = chargeOf(call);
      const name = `call ${call.id} ${call.n}`;
      if (charge === 'yes') expect(served?.charged === true, `${name} is booked as charged and was not`);
      if (charge === 'no') expect(served?.charged !== true, `${name} is booked as free and was charged`);
      if (call.closed?.picture)
        expect(served?.sha256 === call.closed.picture.sha256, `${name} has a picture that it never brought`);
    }
  };

  /** What a run has spent, and how many calls of that were not a row's first. */
  const spentOn = (run: string, all: Call[]): Spent => {
    const own = all.filter((call) => call.run === run && mayBePaid(call) && !isCopy(call));
    return { credits: own.length, extra: own.length - new Set(own.map(({ id }) => id)).size };
  };

  const expectMoney = (run: string, all: Call[]): void => {
    const { cap = Infinity, before } = asked.get(run)!;
    const budget = runOf(run).retry_budget;
    const { credits, extra } = spentOn(run, all);
    // Taken up again it may be given less than it had spent.
    expect(credits <= Math.max(cap, before.credits), `run ${run} spent ${credits} of ${cap} credits`);
    expect(extra <= Math.max(budget, before.extra), `run ${run} made ${extra} extra calls of ${budget}`);
  };

  const expectStories = (all: Call[], { rows, maxAttempts }: Asked, run: string): void => {
    for (const id of new Set(all.map((call) => call.id))) {
      const story = all.filter((call) => call.id === id).sort((a, b) => a.n - b.n);
      story.forEach(({ n }, i) => expect(n === i + 1, `row ${id} has call ${n} as its ${i + 1}th`));
      const row = rows.find((one) => one.id === id);
      const own = story.filter((call) => call.run === run && !isCopy(call));
      // Whoever slept over its call may close it when another process has decided upon the next already.
      const isInOrder = own.every((call, i) => {
        const next = own[i + 1];
        if (!next || !call.closed) return !next;
        const isTakenOver = next.owner.pid !== call.owner.pid;
        return call.closed.at <= next.started_at && !(isTakenOver && call.closed.outcome === 'not_sent');
      });
      if (!row || !isInOrder) continue;
      let attempts = 0;
      for (const call of own) {
        const route = attempts % 2 === 0 ? row.route : 3 - row.route;
        expect(
          call.route === route,
          `row ${id}, call ${call.n}: attempt ${attempts + 1} took route ${call.route}`,
        );
        if (isAttempt(call)) attempts += 1;
      }
      expect(attempts <= maxAttempts, `row ${id} had ${attempts} attempts of ${maxAttempts}`);
    }
  };

  const expectReport = (run: string, { rows }: Asked): void => {
    const text = disk.files.get('report/results.jsonl')?.bytes.toString() ?? '';
    const results = text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as ResultLine);
    expect(
      results.map(({ id }) => id).join() === rows.map(({ id }) => id).join(),
      `the report has the rows ${results.map(({ id }) => id).join(', ')}`,
    );
    const end = read(`.reshoot/runs/${run}/end.json`) as { stop?: { code: number } };
    const all = records();
    for (const { id, status, output = '', sha256: told, error_message: why } of results) {
      if (status === 'not_attempted')
        expect(end.stop !== undefined || why !== null, `row ${id} was not attempted, and nobody says why`);
      if (status !== 'succeeded' && status !== 'skipped') continue;
      const bytes = disk.files.get(output)?.bytes;
      if (!bytes) {
        wrong(`row ${id} is ${status}, and there is no ${output}`);
        continue;
      }
      const content = sha256(bytes);
      expect(content === told, `the picture of row ${id} is not the one of the report`);
      const payer = api.log.find((served) => served.sha256 === content);
      const paid = all.filter((call) => call.id === id && call.closed?.picture?.sha256 === content);
      expect(payer !== undefined, `the picture of row ${id} was never sent`);
      expect(
        paid.length === 0 || paid.some((call) => call.fingerprint === payer?.fingerprint),
        `the picture of row ${id} is for something else`,
      );
    }
    const wasUnsent = (id: string): boolean =>
      all.findLast((call) => call.id === id)?.closed?.outcome === 'not_sent';
    if (end.stop === undefined)
      for (const { id, status } of results)
        expect(
          ['succeeded', 'skipped', 'failed', 'held'].includes(status) ||
            (status === 'not_attempted' && wasUnsent(id)),
          `row ${id} ended as ${status} in a run that was not stopped`,
        );
    else expect(Object.values(exitCodes).includes(end.stop.code as never), 'a stop without a code');
  };

  return {
    failure: () => failure,
    onBegin,
    onRun(run: string, round: Asked): void {
      asked.set(run, { ...round, before: spentOn(run, records()) });
    },
    /** The run has ended, and nothing is in flight. */
    onEnd(run: string, round: Asked): void {
      const all = records();
      for (const served of api.log)
        expect(recordOf(served.call) !== undefined, `call ${served.call} is not on record`);
      expectBooks(all);
      expectMoney(run, all);
      expectStories(all, round, run);
      expectReport(run, round);
      for (const account of new Set(api.log.map((served) => served.account))) {
        const own = api.log.filter((served) => served.account === account);
        expectLimit(
          own.map(({ beganAt }) => beganAt),
          windowMs - slotLifeMs(windowMs) + guardMs(windowMs),
          account,
        );
      }
      if (failure) throw failure;
    },
  };
}
