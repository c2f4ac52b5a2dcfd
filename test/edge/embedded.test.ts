import { readdir, mkdir, rm, stat, symlink, chmod, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { self } from '../../src/owner.ts';
import { createState, familyOf, isAlive, pidOf, type State } from '../fixtures/embedded-state.ts';
import { until } from '../fixtures/rig.ts';

const onLinux = process.platform === 'linux';
let state: State;

beforeEach(async () => {
  state = await createState();
});
afterEach(() => state.close());

describe('the embedded Redis', () => {
  it("is the user's alone, durable, and evicts nothing", async () => {
    const { redis, address, leave } = await state.open();
    expect(address).toBe(join(state.folder, 'redis.sock'));
    for (const path of [state.folder, address]) expect((await stat(path)).mode & 0o777).toBe(0o700);
    for (const [name, value] of Object.entries({
      port: '0',
      'tls-port': '0',
      appendonly: 'yes',
      appendfsync: 'no',
      'maxmemory-policy': 'noeviction',
      maxmemory: '0',
      save: '',
      'auto-aof-rewrite-percentage': '100',
      'auto-aof-rewrite-min-size': '67108864',
      dir: state.folder,
    }))
      expect(await redis.config('GET', name)).toEqual([name, value]);
    await leave();
  });

  it.skipIf(!onLinux)('has a session of its own, no terminal and no port', async () => {
    const embedded = await state.open();
    const pid = await pidOf(embedded);
    expect(await familyOf(pid)).toEqual({ group: pid, session: pid, terminal: 0 });
    expect(await embedded.redis.info('server')).toContain('tcp_port:0');
    await embedded.leave();
  });

  it('outlives its killed starter, holds none of its pipes, and is adopted', async () => {
    const first = await state.user();
    const { pid } = await first.tell({ do: 'open' });
    process.kill(-first.child.pid!, 'SIGKILL');
    await first.closed;
    const second = await state.open();
    expect(await pidOf(second)).toBe(pid);
    expect(await second.redis.get('users')).toBe('1');
    await second.leave();
    expect(await isAlive(pid)).toBe(false);
  });

  it('is stopped by the last one out only, and started again by who meets the stop', async () => {
    let current = await state.open();
    const other = await state.open();
    const shared = await pidOf(current);
    await other.leave();
    expect(await current.redis.incr('count')).toBe(1);
    expect(await pidOf(current)).toBe(shared);
    for (let count = 2; count < 12; count++) {
      const [next] = await Promise.all([state.open(), current.leave()]);
      expect(await next.redis.incr('count')).toBe(count);
      current = next;
    }
    const pid = await pidOf(current);
    await current.leave();
    expect(await isAlive(pid)).toBe(false);
  });

  it('is not kept alive by connections that are no command of ours', async () => {
    const first = await state.open();
    const second = await state.open();
    const extra = first.redis.duplicate({ connectionName: 'somebody', retryStrategy: () => null });
    extra.on('error', () => undefined);
    await extra.ping();
    const pid = await pidOf(first);
    await second.leave();
    expect(await isAlive(pid)).toBe(true);
    await first.leave();
    expect(await isAlive(pid)).toBe(false);
    extra.disconnect();
  });

  it('that is killed under its users is started again, with what was on disk', async () => {
    const [first, second] = [await state.open(), await state.open()];
    await first.redis.set('kept', 'yes');
    await sleep(1200);
    const pid = await pidOf(first);
    process.kill(pid, 'SIGKILL');
    expect(await Promise.all([first, second].map(({ redis }) => redis.get('kept')))).toEqual(['yes', 'yes']);
    expect(await pidOf(first)).not.toBe(pid);
    expect(await pidOf(second)).toBe(await pidOf(first));
    expect(await state.servers()).toHaveLength(1);
    await first.leave();
    await second.leave();
    expect(await state.servers()).toEqual([]);
  });

  it('can be left when the server is gone', async () => {
    const embedded = await state.open();
    process.kill(await pidOf(embedded), 'SIGKILL');
    const asked = performance.now();
    await embedded.leave();
    expect(performance.now() - asked).toBeLessThan(8000);
    const again = await state.open();
    expect(await again.redis.ping()).toBe('PONG');
    await again.leave();
  });
});

describe('a lock', () => {
  const dead = { ...self, pid: 2 ** 22 + 1, started: '1' };
  it.each([
    ['of a dead process', JSON.stringify(dead)],
    ['of a process whose number another one has now', JSON.stringify({ ...self, started: '1' })],
    ['that nobody wrote whole', '{"host":'],
  ])('%s is broken, and eight who find it start one server', async (_which, lock) => {
    await mkdir(state.folder, { recursive: true });
    await writeFile(join(state.folder, 'lock'), lock);
    await writeFile(join(state.folder, 'lock.breaking'), lock);
    const all = await Promise.all(Array.from({ length: 8 }, () => state.open()));
    expect(new Set(await Promise.all(all.map(pidOf))).size).toBe(1);
    await Promise.all(all.map(({ leave }) => leave()));
    expect((await readdir(state.folder)).filter((name) => name.startsWith('lock'))).toEqual([]);
  });
});

it('replaces a silent server that ends while it knocks', async () => {
  const user = await state.user();
  const { pid } = await user.tell({ do: 'open' });
  user.child.kill('SIGKILL');
  process.kill(pid, 'SIGSTOP');
  const opening = state.open();
  await sleep(500);
  process.kill(pid, 'SIGKILL');
  const next = await opening;
  expect(await pidOf(next)).not.toBe(pid);
  await next.leave();
});

describe('a socket', () => {
  it('that a crash has left is no server', async () => {
    const user = await state.user();
    const { pid, address } = await user.tell({ do: 'open' });
    user.child.kill('SIGKILL');
    process.kill(pid, 'SIGKILL');
    await until(async () => !(await isAlive(pid)));
    expect((await stat(address)).isSocket()).toBe(true);
    const next = await state.open();
    expect(await pidOf(next)).not.toBe(pid);
    await next.leave();
  });
});

describe('what is in the way is said within 12 s, and nothing is started beside', () => {
  const others: State[] = [];
  beforeEach(async () => {
    for (let i = 0; i < 2; i++) others.push(await createState());
  });
  afterEach(() => Promise.all(others.splice(0).map((other) => other.close())));

  it.skipIf(!onLinux)('a lock of the living, a silent server, a server without its socket', async () => {
    const [lockedState, silent, unlinked] = [state, ...others] as [State, State, State];
    await mkdir(lockedState.folder, { recursive: true });
    await writeFile(join(lockedState.folder, 'lock'), JSON.stringify(self));
    const users = [await silent.open(), await unlinked.open()] as const;
    const [silentPid, unlinkedPid] = [await pidOf(users[0]), await pidOf(users[1])];
    process.kill(silentPid, 'SIGSTOP');
    await rm(users[1].address);

    const asked = performance.now();
    await Promise.all([
      expect(lockedState.open()).rejects.toThrow(`held by process ${process.pid} on ${self.host}`),
      expect(silent.open()).rejects.toThrow(`kill -9 ${silentPid}`),
      expect(unlinked.open()).rejects.toThrow(`process ${unlinkedPid}, but its socket`),
    ]);
    expect(performance.now() - asked).toBeLessThan(12_000);
    expect(await lockedState.servers()).toEqual([]);
    expect(await silent.servers()).toEqual([silentPid]);
    expect(await unlinked.servers()).toEqual([unlinkedPid]);

    process.kill(silentPid, 'SIGCONT');
    const again = await silent.open();
    expect(await pidOf(again)).toBe(silentPid);
    await again.leave();
    for (const user of users) await user.leave();
    const next = await unlinked.open();
    expect(await pidOf(next)).not.toBe(unlinkedPid);
    await next.leave();
  });
});

describe('a state folder', () => {
  it('may have any name', async () => {
    const stateDir = join(state.dir, `My 产品 #1? "x" 'y' %20`);
    const first = await state.open({ stateDir });
    const second = await state.open({ stateDir });
    expect(await pidOf(first)).toBe(await pidOf(second));
    expect((await stat(join(stateDir, 'redis', 'redis.sock'))).isSocket()).toBe(true);
    await first.leave();
    await second.leave();
  });

  it('may be given from the working folder', async () => {
    const embedded = await state.open({ stateDir: relative(process.cwd(), state.dir) });
    expect(embedded.address).toBe(join(state.folder, 'redis.sock'));
    await embedded.leave();
  });

  it('that others could read is closed to them', async () => {
    await mkdir(state.folder, { recursive: true });
    await chmod(state.folder, 0o777);
    const { leave } = await state.open();
    expect((await stat(state.folder)).mode & 0o777).toBe(0o700);
    await leave();
  });

  it('that is a link or cannot be made is refused', async () => {
    await mkdir(join(state.dir, 'elsewhere'), { recursive: true });
    await symlink(join(state.dir, 'elsewhere'), state.folder);
    await expect(state.open()).rejects.toThrow('belongs to somebody else: Set RESHOOT_STATE_DIR');
    await writeFile(join(state.dir, 'file'), '');
    await expect(state.open({ stateDir: join(state.dir, 'file') })).rejects.toThrow('RESHOOT_STATE_DIR');
  });
});

describe('a socket whose path would be too long', () => {
  const deep = (): string => join(state.dir, '产'.repeat(20), 'b'.repeat(60));

  it('goes to the runtime folder, and every command finds it there whatever its own environment', async () => {
    const stateDir = deep();
    const runtimeDir = join(state.dir, 'run');
    await mkdir(runtimeDir, { recursive: true });
    const first = await state.open({ stateDir, runtimeDir });
    expect(first.address.startsWith(`${runtimeDir}/`)).toBe(true);
    expect((await stat(join(first.address, '..'))).mode & 0o777).toBe(0o700);
    for (const other of [undefined, join(state.dir, 'gone')]) {
      const next = await state.open({ stateDir, runtimeDir: other });
      expect(next.address).toBe(first.address);
      expect(await pidOf(next)).toBe(await pidOf(first));
      await next.leave();
    }
    await first.leave();
  });

  it.each([
    ['is unset', () => undefined],
    ['is gone', () => join(state.dir, 'gone')],
    ['has too long a path itself', () => deep()],
    ['is a file', () => process.execPath],
  ])('goes to a temporary folder where XDG_RUNTIME_DIR %s', async (_what, runtime) => {
    const first = await state.open({ stateDir: deep(), runtimeDir: runtime() });
    expect(Buffer.byteLength(first.address)).toBeLessThanOrEqual(103);
    expect((await stat(join(first.address, '..'))).mode & 0o777).toBe(0o700);
    const second = await state.open({ stateDir: join(deep(), 'other'), runtimeDir: runtime() });
    expect(await pidOf(second)).not.toBe(await pidOf(first));
    for (const { leave, address } of [first, second]) {
      await leave();
      await rm(join(address, '..'), { recursive: true });
    }
  });
});
