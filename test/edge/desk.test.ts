import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import * as fc from 'fast-check';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { SurroundingsError, UsageError } from '../../src/errors.ts';
import { createLog } from '../../src/log.ts';
import { self, type Owner } from '../../src/owner.ts';
import { connect } from '../../src/queue/connect.ts';
import { createDesk, type Desk, type DeskRun } from '../../src/queue/desk.ts';
import { createQueue } from '../../src/queue/queue.ts';
import { throttleKeys } from '../../src/throttle/keys.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';

const log = createLog('silent');
const children: ChildProcess[] = [];
let server: RedisServer;
let redis: Redis;
let desk: Desk;

beforeAll(async () => {
  server = await startRedis();
  redis = new Redis(server.url);
});

beforeEach(async () => {
  await redis.flushall();
  desk = createDesk(redis, 'reshoot');
});

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

afterAll(async () => {
  redis.disconnect();
  await server.close();
});

/** Another process that beats and takes the lease. */
async function holderOf(lease: string, namespace = 'reshoot'): Promise<ChildProcess> {
  const node = ['--import', 'tsx', 'test/fixtures/lease-holder.ts', server.url, namespace, lease];
  const child = spawn(process.execPath, node, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  await once(child.stdout, 'data');
  return child;
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

const elsewhere: Owner = { host: 'another-machine', pid: 4711, started: '99' };

const run: DeskRun = {
  v: 1,
  run: 'r1',
  output: 'file:///out',
  store: 's',
  origin: 'https://api.example',
  manifest: 'm.csv',
  rows: 9,
  chosen: 9,
  submitted: false,
};
const none = { settled: 0, succeeded: 0, skipped: 0, failed: 0, 'failed before': 0, held: 0, 'left out': 0 };

describe('runs and their rows', () => {
  it('are on from when they are registered until they are removed', async () => {
    expect(await desk.runs()).toEqual([]);
    await desk.register(run);
    await desk.register({ ...run, rows: 10 });
    await desk.register({ ...run, run: 'r2' });
    await desk.settle('r1', 1, 'succeeded');
    expect(await desk.runs()).toEqual([
      { ...run, rows: 10 },
      { ...run, run: 'r2' },
    ]);
    await desk.remove('r1');
    expect(await desk.runs()).toEqual([{ ...run, run: 'r2' }]);
    expect(await desk.progress('r1')).toEqual(none);
  });

  it('count once, however often they are settled', async () => {
    const ends = fc.array(
      fc.record({
        row: fc.integer({ min: 1, max: 40 }),
        end: fc.constantFrom(
          ...(['succeeded', 'failed', 'failed before', 'skipped', 'held', 'left out', 'other'] as const),
        ),
      }),
      { maxLength: 30 },
    );
    await fc.assert(
      fc.asyncProperty(ends, fc.boolean(), async (rows, together) => {
        await desk.remove('r1');
        if (together) await desk.settleAll('r1', rows);
        else for (const { row, end } of rows) await desk.settle('r1', row, end);
        const rowsOf = (end: string) => new Set(rows.filter((row) => row.end === end).map(({ row }) => row));
        const settled = new Set(rows.map(({ row }) => row));
        expect(await desk.progress('r1')).toEqual({
          settled: settled.size,
          succeeded: rowsOf('succeeded').size,
          skipped: rowsOf('skipped').size,
          failed: rowsOf('failed').size,
          'failed before': rowsOf('failed before').size,
          held: rowsOf('held').size,
          'left out': rowsOf('left out').size,
        });
        const isSettled = await desk.settled('r1');
        for (let row = 1; row <= 50; row++) expect(isSettled(row)).toBe(settled.has(row));
      }),
      { numRuns: 40 },
    );
  });

  it('tell how far the run is, and keep runs apart', async () => {
    expect(await desk.settle('r1', 7, 'succeeded')).toEqual({ ...none, settled: 1, succeeded: 1 });
    expect(await desk.settle('r1', 40_000, 'failed')).toEqual({
      ...none,
      settled: 2,
      succeeded: 1,
      failed: 1,
    });
    expect(await desk.progress('r2')).toEqual(none);
    expect((await desk.settled('r2'))(7)).toBe(false);
  });
});

describe('a run that is finished', () => {
  it('is off the desk and remembered with its summary, the latest two hundred of them', async () => {
    await desk.register(run);
    await desk.settle('r1', 1, 'succeeded');
    await desk.finish('r1', { exit_code: 5 });
    expect(await desk.runs()).toEqual([]);
    expect(await desk.progress('r1')).toEqual(none);
    expect(await desk.past()).toMatchObject([{ ...run, summary: { exit_code: 5 } }]);
    await desk.finish('r1', { exit_code: 0 });
    expect(await desk.past()).toHaveLength(1);
    for (let i = 2; i <= 202; i++) {
      await desk.register({ ...run, run: `r${i}` });
      await desk.finish(`r${i}`, {});
    }
    const past = (await desk.past()).map((entry) => entry.run);
    expect([past.length, past[0], past.at(-1)]).toEqual([200, 'r3', 'r202']);
  });

  it('of another version is passed over', async () => {
    await redis.hset('{reshoot}:runs', 'r9', JSON.stringify({ v: 9, run: 'r9' }));
    await redis.rpush('{reshoot}:past', JSON.stringify({ v: 9, run: 'r8' }));
    await desk.register(run);
    expect(await desk.runs()).toEqual([run]);
    expect(await desk.past()).toEqual([]);
  });
});

describe('the pulse of a run', () => {
  it('counts its calls, their failures by code, and follows their length', async () => {
    expect(await desk.pulse('r1')).toEqual({ calls: 0, latencyMs: undefined, errors: [] });
    await desk.noteCall('r1', { id: 'a', ms: 1000, code: undefined });
    await desk.noteCall('r1', { id: 'b', ms: 4000, code: undefined });
    await desk.noteCall('r1', { id: '杯', ms: 9, code: 'reset' });
    for (const id of ['c', 'd']) await desk.noteCall('r1', { id, ms: 9, code: 'gateway_error' });
    expect(await desk.pulse('r1')).toEqual({
      calls: 5,
      latencyMs: 1100,
      errors: [
        { code: 'gateway_error', times: 2, lastId: 'd' },
        { code: 'reset', times: 1, lastId: '杯' },
      ],
    });
    for (let i = 0; i < 200; i++) await desk.noteCall('r1', { id: 'e', ms: 4000, code: undefined });
    expect((await desk.pulse('r1')).latencyMs).toBeGreaterThan(3900);
    await desk.remove('r1');
    expect((await desk.pulse('r1')).calls).toBe(0);
  });
});

describe('a lease', () => {
  it('is kept by its owner and refused to others while he lives', async () => {
    const child = await holderOf('feed:r1');
    expect(await desk.lease('feed:r1')).toMatchObject({ pid: child.pid });
    expect(await desk.holder('feed:r1')).toMatchObject({ pid: child.pid });
    await desk.release('feed:r1');
    expect(await desk.lease('feed:r1')).toMatchObject({ pid: child.pid });
    expect(await desk.lease('feed:r2')).toBeUndefined();
    expect(await desk.lease('feed:r2')).toBeUndefined();
    expect(await desk.holder('feed:r2')).toEqual(self);
    await desk.release('feed:r2');
    expect(await desk.holder('feed:r2')).toBeUndefined();
  });

  it('is free at once when its owner here is dead', async () => {
    await ended(await holderOf('feed:r1'));
    expect(await desk.holder('feed:r1')).toBeUndefined();
    expect(await desk.lease('feed:r1')).toBeUndefined();
    expect(await desk.holder('feed:r1')).toEqual(self);
  });

  it('of another machine lasts ten seconds beyond its last renewal', async () => {
    await redis.set('{reshoot}:lease:run:r1', JSON.stringify(elsewhere), 'PX', 100);
    expect(await desk.lease('run:r1')).toEqual(elsewhere);
    await expect.poll(() => desk.lease('run:r1')).toBeUndefined();
    const life = await redis.pttl('{reshoot}:lease:run:r1');
    expect(life).toBeGreaterThan(5000);
    expect(life).toBeLessThanOrEqual(10_000);
  });

  it('is not taken from one who was quicker to find its owner dead', async () => {
    await ended(await holderOf('feed:r1'));
    const mine = desk.lease('feed:r1');
    // Reaches Redis behind the look at the dead owner, before the lease is taken.
    await redis.set('{reshoot}:lease:feed:r1', JSON.stringify(elsewhere), 'PX', 5000);
    expect(await mine).toEqual(elsewhere);
  });
});

describe('the living', () => {
  it('are those who beat and have not left, died or fallen silent', async () => {
    const child = await holderOf('x');
    await redis.zadd('{reshoot}:workers', Date.now() - 31_000, JSON.stringify({ ...elsewhere, pid: 1 }));
    await redis.zadd('{reshoot}:workers', Date.now() - 5000, JSON.stringify(elsewhere));
    const pids = async (): Promise<number[]> =>
      (await desk.beat()).map(({ pid }) => pid).toSorted((a, b) => a - b);
    const sorted = (...pids: number[]): number[] => pids.toSorted((a, b) => a - b);
    expect(await pids()).toEqual(sorted(child.pid!, elsewhere.pid, self.pid));
    await ended(child);
    expect(await pids()).toEqual(sorted(elsewhere.pid, self.pid));
    await desk.leave();
    expect(await redis.zscore('{reshoot}:workers', JSON.stringify(self))).toBeNull();
  });

  it('are known long after they have left', async () => {
    expect(await desk.known()).toEqual([]);
    await redis.zadd('{reshoot}:known', Date.now() - 86_400_000, JSON.stringify(elsewhere));
    await desk.beat();
    await desk.leave();
    expect(await desk.known()).toEqual([elsewhere, self]);
  });

  it('have accounts for the runs that they may work on', async () => {
    const offer = { accounts: ['a'], origin: run.origin, only: undefined, without: [] };
    const offered = async (more: object): Promise<string[]> => {
      await desk.beat({ ...offer, ...more });
      return desk.accounts(run);
    };
    expect(await offered({})).toEqual(['a']);
    expect(await offered({ without: ['r1'] })).toEqual([]);
    expect(await offered({ without: ['r2'], only: 'r1' })).toEqual(['a']);
    expect(await offered({ only: 'r2' })).toEqual([]);
    expect(await offered({ origin: 'https://other.example' })).toEqual([]);
    expect(await offered({ accounts: ['b', 'c'] })).toEqual(['b', 'c']);
    // An older process says no more than this.
    await redis.zadd('{reshoot}:holders', Date.now(), JSON.stringify({ account: 'old', owner: elsewhere }));
    expect(await desk.accounts(run)).toEqual(['b', 'c', 'old']);
  });

  it('agree on the limit: another value is refused while others live', async () => {
    await desk.agree(30, 60_000);
    await desk.agree(20, 60_000);
    const child = await holderOf('x');
    await desk.agree(20, 60_000);
    const other = desk.agree(20, 30_000);
    await expect(other).rejects.toThrow(UsageError);
    await expect(other).rejects.toThrow('limit of 20 calls in 60 s, this one 20 calls in 30 s');
    await createDesk(redis, 'another').agree(20, 30_000);
    await ended(child);
    await desk.agree(20, 30_000);
  });
});

describe('clear', () => {
  it("forgets jobs, runs and leases, but no account's log, no limit, no living process, nor its lease, and nothing of others", async () => {
    const others = ['reshoot2', 'reshoot:x', 'resh*', '[reshoot]'];
    for (const namespace of ['reshoot', ...others]) {
      const desk = createDesk(redis, namespace);
      await desk.register(run);
      await desk.settle('r1', 1, 'succeeded');
      // Its owner is dead.
      await redis.set(`{${namespace}}:lease:feed:r1`, JSON.stringify({ ...self, pid: 1, started: '1' }));
      await desk.lease('plan:s');
      await desk.beat({ accounts: ['a'], origin: run.origin, only: undefined, without: [] });
      await desk.agree(30, 60_000);
      const keys = throttleKeys(namespace, 'https://api.example');
      await redis.zadd(keys.log('a'), 1, 'call');
      await redis.hset(keys.state('a'), 'parked', 'no_credit');
      await redis.hset(keys.ledger('r1'), 'state', 'running');
    }
    await redis.set('reshoot', 'theirs');
    const queue = createQueue(redis, 'reshoot', log);
    await queue.add([
      {
        v: 1,
        kind: 'row',
        run: 'r1',
        output: '',
        store: '',
        origin: '',
        place: { row: 1, from: 0, length: 1 },
      },
    ]);
    const before = (await redis.keys('*')).filter((key) => !key.startsWith('{reshoot}')).toSorted();
    await desk.clear();
    await queue.close();
    const keys = throttleKeys('reshoot', 'https://api.example');
    const names = ['limit', 'workers', 'holders', 'known', 'lease:plan:s'].map((name) => `{reshoot}:${name}`);
    const kept = [keys.log('a'), keys.state('a'), ...names];
    expect((await redis.keys('*')).toSorted()).toEqual([...before, ...kept].toSorted());
    expect(before).toHaveLength(others.length * 12 + 1);
  });

  it('leaves what was submitted, and what is past', async () => {
    const keys = throttleKeys('reshoot', 'https://api.example');
    for (const [id, submitted] of [
      ['r1', true],
      ['r11', false],
      ['r0', false],
    ] as const) {
      await desk.register({ ...run, run: id, submitted });
      await desk.settle(id, 1, 'succeeded');
      await redis.hset(keys.ledger(id), 'state', 'paused');
    }
    await desk.finish('r0', {});
    await desk.clear();
    expect((await desk.runs()).map((entry) => entry.run)).toEqual(['r1']);
    expect(await desk.past()).toHaveLength(1);
    expect(await desk.progress('r1')).toMatchObject({ settled: 1 });
    expect(await redis.hget(keys.ledger('r1'), 'state')).toBe('paused');
    expect(await desk.progress('r11')).toEqual(none);
    expect(await redis.exists(keys.ledger('r11'))).toBe(0);
  });

  it('takes a namespace by its letters, not as a pattern', async () => {
    const name = 'a.b-c_d';
    await createDesk(redis, name).register(run);
    await createDesk(redis, 'aXb-c_d').register(run);
    await createDesk(redis, name).clear();
    expect(await redis.keys('*')).toEqual(['{aXb-c_d}:runs']);
  });
});

describe('connect', () => {
  it('gives a connection that has answered, by address or socket', async () => {
    for (const address of [server.url, server.socket]) {
      const redis = await connect(address, log);
      expect(await redis.ping()).toBe('PONG');
      redis.disconnect();
    }
  });

  it('names a server that does not answer, never its password, and gives up', async () => {
    const asked = performance.now();
    const refused = connect('redis://me:canary@127.0.0.1:1/0', log);
    await expect(refused).rejects.toThrow(SurroundingsError);
    await expect(refused).rejects.toThrow('Redis at redis://127.0.0.1:1/0 does not answer');
    await expect(refused).rejects.not.toThrow('canary');
    expect(performance.now() - asked).toBeLessThan(9000);
  });
});
