import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { SurroundingsError } from '../../src/errors.ts';
import { createLog } from '../../src/log.ts';
import { self } from '../../src/owner.ts';
import { connect } from '../../src/queue/connect.ts';
import { openEmbedded, type Embedded } from '../../src/queue/embedded.ts';

const log = createLog('silent');
const children: ChildProcess[] = [];
const addresses = new Set<string>();
let state: string;

beforeEach(async () => {
  state = await mkdtemp(join(tmpdir(), 'reshoot-state-'));
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const address of addresses) await stopServer(address);
  addresses.clear();
  await rm(state, { recursive: true, force: true });
});

async function stopServer(address: string): Promise<void> {
  const redis = await connect(address, log).catch(() => undefined);
  const gone = redis && once(redis, 'close');
  redis?.shutdown('NOSAVE').catch(() => undefined);
  await gone;
  redis?.disconnect();
}

interface Opened {
  users: number;
  pid: number;
  address: string;
}

/** A process of its own in its own group, that has not yet opened the embedded Redis. */
async function userOf(env: Record<string, string> = {}) {
  const node = ['--import', 'tsx', 'test/fixtures/embedded-user.ts', state];
  const child = spawn(process.execPath, node, {
    detached: true,
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  children.push(child);
  const stderr = text(child.stderr);
  // Says that the process has ended and that nobody holds its pipes.
  const closed = once(child, 'close').then(([code]) => code as number | null);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const said = async (): Promise<Opened> => JSON.parse(String((await lines.next()).value)) as Opened;
  await said();
  return {
    child,
    stderr,
    closed,
    async open(): Promise<Opened> {
      child.stdin.write('open\n');
      const opened = await said();
      addresses.add(opened.address);
      return opened;
    },
    begin: () => child.stdin.write('open\n'),
    async leave(): Promise<void> {
      child.stdin.write('leave\n');
      expect(await closed).toBe(0);
    },
  };
}

/** Opens it in this process. */
async function opened(stateDir = state, runtimeDir?: string): Promise<Embedded> {
  const embedded = await openEmbedded({ stateDir, runtimeDir, searchPath: process.env['PATH'] ?? '' }, log);
  addresses.add(embedded.address);
  return embedded;
}

const pidOf = async ({ redis }: Embedded): Promise<number> =>
  Number(/process_id:(\d+)/.exec(await redis.info('server'))?.[1]);

const runs = (address: string): Promise<boolean> =>
  connect(address, log).then(
    (redis) => {
      redis.disconnect();
      return true;
    },
    () => false,
  );

it.each([
  ['none', undefined],
  ['that of a dead process', JSON.stringify({ ...self, pid: 2 ** 22 + 1, started: '1' })],
])('eight processes at once start one server; the lock file they find: %s', async (_which, lock) => {
  const users = await Promise.all(Array.from({ length: 8 }, () => userOf()));
  await mkdir(join(state, 'redis'), { recursive: true });
  if (lock !== undefined) await writeFile(join(state, 'redis', 'lock'), lock);
  const all = await Promise.all(users.map((user) => user.open()));
  expect(new Set(all.map(({ pid }) => pid)).size).toBe(1);
  expect(all.map(({ users }) => users).toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  await Promise.all(users.map((user) => user.leave()));
  expect(await runs(all[0]!.address)).toBe(false);
  const again = await opened();
  expect(await again.redis.get('users')).toBe('8');
  await again.leave();
  const left = await readdir(join(state, 'redis'));
  expect(left.filter((name) => name.startsWith('lock'))).toEqual([]);
});

it('minds no lock file that is damaged', async () => {
  await mkdir(join(state, 'redis'), { recursive: true });
  await writeFile(join(state, 'redis', 'lock'), '{"host":');
  await (await opened()).leave();
  expect(await readdir(join(state, 'redis'))).not.toContain('lock');
});

it('outlives its killed starter, holds none of its pipes, and is adopted', async () => {
  const first = await userOf();
  const { pid } = await first.open();
  process.kill(-first.child.pid!, 'SIGKILL');
  await first.closed;
  const second = await opened();
  expect(await pidOf(second)).toBe(pid);
  expect(await second.redis.get('users')).toBe('1');
  await second.leave();
  expect(await runs(second.address)).toBe(false);
});

it('is stopped by the last one out only, and started again by who meets the stop', async () => {
  let current = await opened();
  const other = await opened();
  await other.leave();
  expect(await current.redis.incr('count')).toBe(1);
  for (let count = 2; count < 12; count++) {
    const [next] = await Promise.all([opened(), current.leave()]);
    expect(await next.redis.incr('count')).toBe(count);
    current = next;
  }
  await current.leave();
  expect(await runs(current.address)).toBe(false);
});

it("is the user's alone, durable, and evicts nothing", async () => {
  const embedded = await opened();
  const { redis, address } = embedded;
  expect(address).toBe(join(state, 'redis', 'redis.sock'));
  for (const path of [join(state, 'redis'), address]) expect((await stat(path)).mode & 0o077).toBe(0);
  for (const [name, value] of Object.entries({
    port: '0',
    appendonly: 'yes',
    'maxmemory-policy': 'noeviction',
  }))
    expect(await redis.config('GET', name)).toEqual([name, value]);
  await embedded.leave();
});

it('puts its socket elsewhere where the state folder has too long a path', async () => {
  const deep = join(state, 'a'.repeat(60), 'b'.repeat(60));
  const runtime = join(state, 'run');
  await mkdir(runtime);
  const embedded = await opened(deep, runtime);
  expect(embedded.address.startsWith(runtime)).toBe(true);
  expect((await stat(join(embedded.address, '..'))).mode & 0o077).toBe(0);
  expect((await opened(deep, runtime)).address).toBe(embedded.address);
  const other = await opened(join(deep, 'c'));
  expect(Buffer.byteLength(other.address)).toBeLessThanOrEqual(103);
  expect(await pidOf(other)).not.toBe(await pidOf(embedded));
  await other.leave();
  await rm(join(other.address, '..'), { recursive: true });
});

it('says the three ways out where there is no redis-server', async () => {
  const user = await userOf({ PATH: join(state, 'no', 'programs') });
  user.begin();
  expect(await user.closed).not.toBe(0);
  for (const way of ['scripts/redis.sh', 'docker compose up', 'REDIS_URL'])
    expect(await user.stderr).toContain(way);
  expect(await readdir(join(state, 'redis'))).toEqual([]);
});

it('starts no second server beside one that is silent', async () => {
  const first = await opened();
  const pid = await pidOf(first);
  process.kill(pid, 'SIGSTOP');
  try {
    await expect(opened()).rejects.toThrow(SurroundingsError);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  expect(await pidOf(await opened())).toBe(pid);
});

it('can be left when the server is gone', async () => {
  const embedded = await opened();
  process.kill(await pidOf(embedded), 'SIGKILL');
  await sleep(50);
  const asked = performance.now();
  await embedded.leave();
  expect(performance.now() - asked).toBeLessThan(8000);
  const again = await opened();
  expect(await again.redis.ping()).toBe('PONG');
  await again.leave();
});
