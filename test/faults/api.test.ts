import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { now, type SimulatedCall } from '../../src/simulator/call-log.ts';
import { parseFault, parseFaults, type LikelyFault } from '../../src/simulator/faults.ts';
import { createGate, type Answer, type Gate } from '../fixtures/gate.ts';
import { createLink } from '../fixtures/link.ts';
import { createRig, prompts, small, until, type Result, type Rig, type RigOptions } from '../fixtures/rig.ts';
import { fault, longFault, type Dice } from './fault.ts';

const windowMs = 3000;
/** Wide enough for the delivery of a busy machine: a refusal then is a slot too many. */
const guardMs = 600;

/** A rig of its own for a play. */
async function withRig(
  dice: Dice,
  options: RigOptions,
  play: (rig: Rig) => Promise<string>,
): Promise<string> {
  const latency = { min: 100, max: 900 };
  const rig = await createRig({ limit: 15, windowMs, latency, seed: dice.between(1, 1000), ...options });
  try {
    return await play(rig);
  } finally {
    await rig.close();
  }
}

/** Every call from now on meets the fault, until `over` is called. */
function storm(faults: LikelyFault[], name: string): { over: () => void } {
  faults.push({ fault: parseFault(name), share: 1 });
  return { over: () => void faults.splice(0) };
}

const doubtful = ({ charged }: { charged: string }): boolean => charged === 'unknown';
const tally = (names: string[]): string => {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ');
};
/** How calls of results ended that did not bring a picture. */
const errors = (results: Result[]): string[] =>
  results.flatMap(({ calls }) => calls.flatMap(({ error_code: code }) => code ?? []));

/** Rows that did not succeed, with all their calls. */
const failures = (results: Result[]): string[] =>
  results
    .filter(({ status }) => status !== 'succeeded')
    .map(({ id, status, ...row }) => `${id} ${status}: ${errors([{ id, status, ...row }]).join(', ')}`);

/** A row that the API was paid for more than once says so. */
function expectListed(results: Result[], calls: SimulatedCall[]): void {
  for (const { id, row, credits, credits_unknown: unknown } of results) {
    const paid = calls.filter((call) => call.charged && call.row?.split(' ')[1] === String(row)).length;
    expect({
      id,
      paid,
      credits,
      unknown,
      listed: paid >= credits && paid <= credits + unknown,
    }).toMatchObject({
      listed: true,
    });
  }
}

const everyKind =
  '429=2%,502=2%,503-envelope=2%,500=1%,504=1%,envelope:1001=2%,envelope:500=1%,html=2%,empty=1%,null=1%,' +
  'cut-body=3%,cut-base64=2%,cut-image:50%=1%,not-image=1%,reset-before=2%,reset=4%,hang=2%';

longFault('F39, F40, F41, F42, F43, F44: three in ten calls go wrong, in every way', (dice) =>
  withRig(dice, { limit: 30, faults: parseFaults(everyKind) }, async (rig) => {
    const file = await rig.manifest(prompts(60));
    const patient = ['--timeout', '4s', '--max-attempts', '12', '--retry-budget', '100%'];
    const { code } = await rig.run(['run', file, ...small, ...patient], { guardMs });
    const results = await rig.results();
    expect(failures(results)).toEqual([]);
    expect(code).toBe(0);
    expectListed(results, rig.simulator.calls);
    for (const { calls } of results) {
      const tried = calls.filter(({ outcome }) => outcome !== 'not_sent' && outcome !== 'throttled');
      for (const [i, { route }] of tried.entries()) expect(route).toBe(i % 2 === 0 ? 1 : 2);
      // Nothing is paid for again once a picture is there.
      expect(calls.findIndex(({ outcome }) => outcome === 'succeeded')).toBe(calls.length - 1);
    }
    const struck = errors(results);
    expect(new Set(struck).size).toBeGreaterThan(4);
    return tally(struck);
  }),
);

longFault('F39, F40, F41: a call whose charge is unknown is held', (dice) =>
  withRig(dice, { faults: parseFaults('reset=15%,cut-body=10%,hang=5%,502=5%') }, async (rig) => {
    const file = await rig.manifest(prompts(24));
    const { code } = await rig.run(['run', file, ...small, '--timeout', '3s', '--on-unknown', 'hold'], {
      guardMs,
    });
    expect(code).toBe(12);
    const results = await rig.results();
    const held = results.filter(({ status }) => status === 'held');
    expect(held.map(({ id }) => id)).toEqual(results.filter(doubtful).map(({ id }) => id));
    for (const { calls } of held) expect(calls.filter(doubtful)).toEqual([calls.at(-1)]);
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['succeeded', 'held']));
    expectListed(results, rig.simulator.calls);
    return tally(errors(held));
  }),
);

fault('F38: nobody listens at the API for a while', async (dice) =>
  withRig(dice, {}, async (rig) => {
    const link = await createLink(Number(new URL(rig.simulator.url).port));
    try {
      const there = { SPIDERHUBS_BASE_URL: `http://127.0.0.1:${link.port}` };
      const file = await rig.manifest(prompts(30));
      const run = rig.start(['run', file, ...small], { guardMs }, there);
      const before = dice.between(3, 14);
      await until(() => rig.simulator.calls.length >= before, 60_000);
      await link.lead(undefined);
      // Longer than a window, in which the throttle may have given every slot already.
      await sleep(4500);
      await link.lead(Number(new URL(rig.simulator.url).port));
      const backAt = now();
      const { code } = await run.ended;
      const next = rig.simulator.calls.find(({ at }) => at > backAt);
      const results = await rig.results();
      expect(failures(results)).toEqual([]);
      expect(code).toBe(0);
      for (const { attempts, calls } of results)
        expect(attempts).toBe(calls.filter(({ outcome }) => outcome !== 'not_sent').length);
      expect(rig.simulator.calls.filter(({ charged }) => charged)).toHaveLength(30);
      const refused = errors(results).filter((code) => code === 'connect_refused');
      expect(refused.length).toBeGreaterThan(0);
      return `${refused.length} calls were not sent; it went on ${Math.round(next!.at - backAt)} ms after it listened`;
    } finally {
      await link.close();
    }
  }),
);

const pauses: (() => string | undefined)[] = [
  () => '1',
  () => new Date(Date.now() + 1500).toUTCString(),
  () => 'soon, perhaps',
  () => '-5',
  () => undefined,
];

/** A gate before the simulator answers some calls itself. */
const gated = { I3: 'the simulator does not see all calls' };

longFault('F44: a 429 for three in ten calls, with every kind of Retry-After', (dice) =>
  withRig(dice, { except: gated, windowMs: 2000 }, async (rig) => {
    const said: (string | undefined)[] = [];
    const gate = await createGate(rig.simulator.url, () => {
      if (dice.between(1, 10) > 3) return undefined;
      const pause = dice.pick(pauses)();
      said.push(pause);
      return { status: 429, headers: pause === undefined ? {} : { 'retry-after': pause } };
    });
    try {
      const { results, refused } = await runThrough(rig, gate);
      expect(refused).toBe(said.length);
      expect(results.map(({ attempts }) => attempts)).toEqual(results.map(() => 1));
      return `${refused} of ${gate.calls.length} calls: ${said.join('; ')}`;
    } finally {
      await gate.close();
    }
  }),
);

longFault('F44: a 429 that asks for years is waited for fifteen windows', (dice) =>
  withRig(dice, { except: gated, windowMs: 1000, limit: 6 }, async (rig) => {
    let left = dice.between(3, 12);
    const absurd = { status: 429, headers: { 'retry-after': '999999999' } };
    const gate = await createGate(rig.simulator.url, () => (left-- === 0 ? absurd : undefined));
    try {
      const { refused } = await runThrough(rig, gate);
      expect(refused).toBe(1);
      const at = gate.calls.findIndex(({ answer }) => answer);
      const waited = Math.max(...gate.calls.slice(at + 1).map((call, i) => call.at - gate.calls[at + i]!.at));
      expect(waited).toBeGreaterThan(13_000);
      expect(waited).toBeLessThan(25_000);
      return `waited ${waited} ms`;
    } finally {
      await gate.close();
    }
  }),
);
/** A run of 18 rows through a gate, of which all must succeed, each paid once. */
async function runThrough(rig: Rig, gate: Gate): Promise<{ results: Result[]; refused: number }> {
  const file = await rig.manifest(prompts(18));
  const there = { SPIDERHUBS_BASE_URL: gate.url };
  const { code } = await rig.run(['run', file, ...small], { guardMs }, there);
  const results = await rig.results();
  expect(failures(results)).toEqual([]);
  expect(code).toBe(0);
  expect(rig.simulator.calls.filter(({ charged }) => charged)).toHaveLength(18);
  const refused = gate.calls.filter(({ answer }) => answer).length;
  expect(refused).toBeGreaterThan(0);
  expect(errors(results).filter((code) => code === 'rate_limited')).toHaveLength(refused);
  return { results, refused };
}

for (const [name, status] of [
  ['F45: a key that is refused from some moment on', '401'],
  ['F46: an account whose credits end', '402'],
] as const) {
  longFault(name, (dice) => {
    const faults: LikelyFault[] = [];
    return withRig(dice, { faults }, async (rig) => {
      const { calls } = rig.simulator;
      const file = await rig.manifest(prompts(40));
      const run = rig.start(['run', file, ...small], { guardMs });
      const before = dice.between(5, 25);
      await until(() => calls.length >= before, 60_000);
      const refusing = storm(faults, status);
      await until(() => calls.some(({ outcome }) => outcome === status));
      const { at, ms } = calls.find(({ outcome }) => outcome === status)!;
      expect(await run.ended).toMatchObject({ code: 7, stdout: expect.stringContaining(`(${status})`) });
      // Those that were out already, or had their slot.
      expect(calls.filter((call) => call.at > at + ms + 500)).toEqual([]);
      const { rows } = await rig.summary();
      const paid = calls.filter(({ charged }) => charged).length;
      expect(rows).toMatchObject({ succeeded: paid, not_attempted: 40 - paid });
      const refused = calls.filter(({ outcome }) => outcome === status).length;
      refusing.over();
      expect(await rig.run(['run', file, ...small], { guardMs })).toMatchObject({ code: 0 });
      expect(calls.filter(({ charged }) => charged)).toHaveLength(40);
      return `${refused} calls refused after ${paid} paid ones; the next run did ${40 - paid} rows`;
    });
  });
}

longFault('F47: a storm of 502s, of which nobody knows which were paid', (dice) => {
  const faults: LikelyFault[] = [];
  return withRig(dice, { faults }, async (rig) => {
    const { calls } = rig.simulator;
    const file = await rig.manifest(prompts(40));
    const run = rig.start(['run', file, ...small, '--retry-budget', '100%', '--max-attempts', '8'], {
      guardMs,
    });
    const before = dice.between(3, 20);
    await until(() => calls.length >= before, 60_000);
    const blowing = storm(faults, '502');
    // Longer than any pause between two windows.
    await sleep(4000);
    blowing.over();
    expect(await run.ended).toMatchObject({ code: 0 });
    const results = await rig.results();
    expectListed(results, calls);
    const struck = errors(results).filter((code) => code === 'gateway_error').length;
    expect(struck).toBeGreaterThan(0);
    return `${struck} of ${calls.length} calls`;
  });
});

longFault('F47: a storm of 502s that never ends', (dice) => {
  const faults: LikelyFault[] = [];
  return withRig(dice, { faults }, async (rig) => {
    const { calls } = rig.simulator;
    const file = await rig.manifest(prompts(40));
    const run = rig.start(['run', file, ...small], { guardMs });
    const before = dice.between(3, 20);
    await until(() => calls.length >= before, 60_000);
    storm(faults, '502');
    expect(await run.ended).toMatchObject({ code: 8, stdout: expect.stringContaining('retry budget of 14') });
    const called = new Set(calls.map(({ row }) => row)).size;
    expect((await rig.summary()).rows).toMatchObject({ not_attempted: 40 - called });
    // At most a tenth of the rows, plus ten.
    expect(calls).toHaveLength(called + 14);
    expectListed(await rig.results(), calls);
    const struck = calls.filter(({ outcome }) => outcome === '502').length;
    return `${struck} of ${calls.length} calls over ${called} rows`;
  });
});

longFault('F48: a route is dead, or both come and go', (dice) =>
  withRig(dice, { limit: 30 }, async (rig) => {
    const marks = ['[sim:503-envelope*@1]', '[sim:503-envelope@1,503-envelope@2]', '[sim:500@1,502@2]', ''];
    const file = await rig.manifest(prompts(30).map((prompt) => `${prompt} ${dice.pick(marks)}`));
    const wide = ['--retry-budget', '100%'];
    expect(await rig.run(['run', file, ...small, ...wide], { guardMs })).toMatchObject({ code: 0 });
    const results = await rig.results();
    expect(failures(results)).toEqual([]);
    expect(rig.simulator.calls.filter(({ outcome }) => outcome === 'rate_limited')).toEqual([]);
    expectListed(results, rig.simulator.calls);
    const struck = errors(results);
    expect(struck.length).toBeGreaterThan(0);
    return tally(struck);
  }),
);

longFault('F49: answers that drip in beyond the time-out', (dice) =>
  withRig(dice, {}, async (rig) => {
    const { port } = new URL(rig.simulator.url);
    const link = await createLink(Number(port));
    try {
      const there = { SPIDERHUBS_BASE_URL: `http://127.0.0.1:${link.port}` };
      const file = await rig.manifest(prompts(15));
      const patient = ['--timeout', '3s', '--retry-budget', '100%', '--max-attempts', '8'];
      // At 1 KB/s an answer of this size takes far longer.
      const big = ['-o', 'out', '--size', '512x512'];
      const run = rig.start(['run', file, ...big, ...patient], { guardMs }, there);
      const before = dice.between(1, 8);
      await until(() => rig.simulator.calls.length >= before, 60_000);
      link.slow(1000);
      await sleep(dice.between(3000, 4000));
      link.slow(undefined);
      expect(await run.ended).toMatchObject({ code: 0 });
      const results = await rig.results();
      expectListed(results, rig.simulator.calls);
      const late = results.flatMap(({ calls }) => calls.filter((call) => call.error_code === 'timeout'));
      expect(late.length).toBeGreaterThan(0);
      expect(new Set(late.map(({ charged }) => charged))).toEqual(new Set(['unknown']));
      return `${late.length} calls ran out of time`;
    } finally {
      await link.close();
    }
  }),
);

fault('F50: a redirect to another host', async (dice) => {
  const elsewhere = await createGate('http://127.0.0.1:1', () => ({ status: 500 }));
  try {
    return await withRig(dice, { except: gated }, async (rig) => {
      let left = dice.between(3, 14);
      const away: Answer = { status: 307, headers: { location: `${elsewhere.url}/openapi` } };
      const gate = await createGate(rig.simulator.url, () => (left-- > 0 ? undefined : away));
      try {
        const there = { SPIDERHUBS_BASE_URL: gate.url };
        const file = await rig.manifest(prompts(30));
        const run = await rig.run(['run', file, ...small], { guardMs }, there);
        expect(run).toMatchObject({ code: 13, stdout: expect.stringContaining('redirect') });
        expect(elsewhere.calls).toEqual([]);
        const sent = gate.calls.filter(({ answer }) => answer).length;
        expect(sent).toBeGreaterThan(0);
        return `${sent} calls were sent elsewhere, where none came`;
      } finally {
        await gate.close();
      }
    });
  } finally {
    await elsewhere.close();
  }
});

/** Without dice: what the simulator can be told exactly. */
describe('always', () => {
  let rig: Rig;
  const open = async (options: RigOptions = {}): Promise<void> => {
    rig = await createRig(options);
  };
  afterEach(() => rig.close());
  const charged = (): number => rig.simulator.calls.filter((call) => call.charged).length;
  /** Calls that the simulator saw since, as `account outcome`. */
  const seenSince = (count: number): string[] =>
    rig.simulator.calls.slice(count).map((call) => `${call.account} ${call.outcome}`);

  it('F48: a dead route with a good one beside it stops nothing', async () => {
    await open({ limit: 60 });
    const file = await rig.manifest(prompts(35, '[sim:503-envelope*@1]'));
    expect(await rig.run(['run', file, ...small, '--retry-budget', '0%'])).toMatchObject({ code: 0 });
    expect(rig.simulator.calls).toHaveLength(70);
    expect((await rig.summary()).credits).toEqual({ charged: 35, unknown: 0 });
  });

  it('F45: an account whose key is refused is parked and ends the run; the next one, with the right key, does all', async () => {
    await open();
    const file = await rig.manifest(prompts(6));
    const bad = { SPIDERHUBS_API_KEY: 'sk_test_bad' };
    expect((await rig.run(['run', file, ...small], {}, bad)).code).toBe(7);
    const results = await rig.results();
    expect(new Set(results.map(({ status }) => status))).toEqual(new Set(['not_attempted']));
    expect(results.every(({ charged, attempts }) => charged === 'no' && attempts === 0)).toBe(true);
    expect((await rig.run(['run', file, ...small])).code).toBe(0);
    expect(charged()).toBe(6);
  });

  it('F46: an account without credits is parked and tried once by each run, while another account goes on', async () => {
    await open({ credits: 3 });
    const file = await rig.manifest(prompts(6));
    const first = await rig.run(['run', file, ...small]);
    expect(first.code).toBe(7);
    expect(first.stdout).toContain('no credits left (402)');
    expect((await rig.summary()).rows).toMatchObject({ succeeded: 3, not_attempted: 3 });
    const before = rig.simulator.calls.length;
    expect((await rig.run(['run', file, ...small])).code).toBe(7);
    expect(seenSince(before)).toEqual(['test no_credit']);
    const both = { SPIDERHUBS_API_KEY: '', SPIDERHUBS_API_KEYS: 'default=sk_live_test,other=sk_live_other' };
    expect((await rig.run(['run', file, ...small], {}, both)).code).toBe(0);
    const last = seenSince(before + 1);
    expect(last.filter((call) => call === 'other succeeded')).toHaveLength(3);
    expect(last.filter((call) => call === 'test no_credit').length).toBeLessThanOrEqual(1);
    expect(charged()).toBe(6);
  });
});
