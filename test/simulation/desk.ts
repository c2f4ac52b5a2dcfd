import type { Owner } from '../../src/owner.ts';
import type { Desk } from '../../src/queue/desk.ts';
import type { Progress, RowEnd } from '../../src/queue/progress.ts';
import type { Client } from './redis.ts';
import { self, world } from './stage.ts';

const leaseMs = 10_000;
const heartbeatMs = 30_000;
const knownMs = 7 * 86_400_000;

/** The desk of a process: what `src/queue/` keeps in Redis, with its interface and its times. */
export function createDesk(redis: Client): Desk {
  const me = JSON.stringify(self);
  const { sim, livesHere } = world();
  const data = () => world().redis.data;
  let ours: string[] = [];

  const heard = (all: Map<string, number>, entered: string[], lifeMs = heartbeatMs): string[] => {
    for (const text of entered) all.set(text, sim.now);
    for (const [text, at] of all) if (at <= sim.now - lifeMs) all.delete(text);
    return [...all.keys()];
  };
  const owner = (text: string): Owner => JSON.parse(text) as Owner;
  const living = (texts: string[]): Owner[] => texts.map(owner).filter((other) => livesHere(other) !== false);
  const leaseOf = (name: string): string | undefined => {
    const lease = data().leases.get(name);
    return lease && lease.until > sim.now ? lease.text : undefined;
  };
  const settle = (run: string, rows: readonly number[], end: RowEnd): void => {
    const ends = data().ends.get(run) ?? new Map<number, Set<RowEnd>>();
    data().ends.set(run, ends);
    for (const row of rows) ends.set(row, (ends.get(row) ?? new Set<RowEnd>()).add(end));
    sim.note(`settles ${rows.join(', ')}: ${end}`);
  };
  const progressOf = (run: string): Progress => {
    const ends = [...(data().ends.get(run)?.values() ?? [])];
    const count = (end: RowEnd): number => ends.filter((all) => all.has(end)).length;
    const [succeeded, skipped, failed, held] = [
      count('succeeded'),
      count('skipped'),
      count('failed'),
      count('held'),
    ];
    const rest = { 'failed before': count('failed before'), 'left out': count('left out') };
    return { settled: ends.length, succeeded, skipped, failed, held, ...rest };
  };
  const forget = (run: string): void => {
    data().runs.delete(run);
    data().ends.delete(run);
  };

  return {
    beat: ({ accounts, ...offer } = { accounts: [], origin: '', only: undefined, without: [] }) =>
      redis.command('beat', () => {
        const before = ours;
        ours = accounts.map((account) => JSON.stringify({ account, owner: self, ...offer }));
        for (const text of before) if (!ours.includes(text)) data().holders.delete(text);
        heard(data().holders, ours);
        heard(data().known, [me], knownMs);
        return living(heard(data().workers, [me]));
      }),
    accounts: ({ run, origin }) =>
      redis.command('accounts', () => {
        const held = heard(data().holders, []).map((text) => JSON.parse(text) as never as Held);
        const may = held.filter(
          (one) =>
            livesHere(one.owner) !== false &&
            one.origin === origin &&
            (one.only ?? run) === run &&
            !one.without.includes(run),
        );
        return [...new Set(may.map(({ account }) => account))];
      }),
    living: () => redis.command('living', () => living(heard(data().workers, []))),
    known: () => redis.command('known', () => heard(data().known, [], knownMs).map(owner)),
    leave: () =>
      redis.command('leave', () => {
        data().workers.delete(me);
        for (const text of ours) data().holders.delete(text);
      }),
    otherLimit: () => redis.command('other limit', () => undefined),
    agree: (limit, windowMs) => redis.command('agree', () => void (data().limit = `${limit} ${windowMs}`)),
    lease: (name) =>
      redis.command(`lease ${name.slice(0, 5)}`, () => {
        const held = leaseOf(name);
        if (held !== undefined && held !== me && livesHere(owner(held)) !== false) return owner(held);
        data().leases.set(name, { text: me, until: sim.now + leaseMs });
        return undefined;
      }),
    holder: (name) =>
      redis.command('holder', () => {
        const held = leaseOf(name);
        return held !== undefined && livesHere(owner(held)) !== false ? owner(held) : undefined;
      }),
    release: (name) =>
      redis.command('release', () => void (leaseOf(name) === me && data().leases.delete(name))),
    register: (run) => redis.command('register', () => void data().runs.set(run.run, structuredClone(run))),
    runs: () =>
      redis.command('runs', () =>
        [...data().runs.values()].map((run) => structuredClone(run)).sort((a, b) => (a.run < b.run ? -1 : 1)),
      ),
    has: (run) => redis.command('has run', () => data().runs.has(run)),
    remove: (run) => redis.command('remove run', () => forget(run)),
    finish: (run, summary) =>
      redis.command('finish run', () => {
        const known = data().runs.get(run);
        const finished_at = new Date().toISOString();
        if (known) data().past.push({ ...known, finished_at, summary: { ...summary } });
        forget(run);
      }),
    past: () => redis.command('past', () => structuredClone(data().past)),
    clear: () =>
      redis.command('clear', () => {
        sim.note('clears the desk');
        for (const { run, submitted } of data().runs.values()) if (!submitted) forget(run);
        for (const [name, { text }] of data().leases)
          if (livesHere(owner(text)) === false) data().leases.delete(name);
        data().jobs.clear();
      }),
    settle: (run, row, end) =>
      redis.command('settle row', () => {
        settle(run, [row], end);
        return progressOf(run);
      }),
    settleAll: (run, rows) =>
      redis.command('settle rows', () => rows.forEach(({ row, end }) => settle(run, [row], end))),
    settleAlike: (run, rows, end) => redis.command('settle rows', () => settle(run, rows, end)),
    progress: (run) => redis.command('progress', () => progressOf(run)),
    forget: (run) =>
      redis.command('forget', () => {
        sim.note(`forgets the progress of ${run}`);
        data().ends.delete(run);
      }),
    settled: (run) =>
      redis.command('settled', () => {
        const rows = new Set(data().ends.get(run)?.keys());
        return (row) => rows.has(row);
      }),
    noteCall: () => redis.command('note call', () => undefined),
    pulse: () => Promise.resolve({ calls: 0, latencyMs: undefined, errors: [] }),
  };
}

interface Held {
  account: string;
  owner: Owner;
  origin: string;
  only?: string;
  without: string[];
}
