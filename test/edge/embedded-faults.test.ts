import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  mkdir,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SurroundingsError, UsageError } from '../../src/errors.ts';
import { createState, pidOf, type State } from '../fixtures/embedded-state.ts';

const run = promisify(execFile);
const isRoot = process.getuid?.() === 0;
/** The number of the user `nobody`. */
const nobody = 65_534;
let state: State;

beforeEach(async () => {
  state = await createState();
});
afterEach(() => state.close());

/** What `open` throws. */
const failure = (places: Parameters<State['open']>[0] = {}): Promise<Error> =>
  state.open(places).then(
    () => {
      throw new Error('it was opened');
    },
    (error: unknown) => error as Error,
  );

describe('a redis-server in PATH', () => {
  let bin: string;
  const program = (name: string, text: string, mode = 0o755): Promise<void> =>
    writeFile(join(bin, name), text, { mode });

  beforeEach(async () => {
    bin = join(state.dir, 'bin');
    await mkdir(bin, { recursive: true });
  });

  it('that is missing: the three ways out are said', async () => {
    const error = await failure({ searchPath: bin });
    expect(error).toBeInstanceOf(UsageError);
    for (const way of ['no Redis on this machine', 'scripts/redis.sh', 'docker compose up', 'REDIS_URL'])
      expect(error.message).toContain(way);
    expect(await readdir(state.folder)).toEqual([]);
  });

  it('that may not be run is said to be so', async () => {
    await program('redis-server', '#!/bin/sh\n', 0o644);
    const error = await failure({ searchPath: bin });
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain("redis-server can't be run (EACCES)");
  });

  it.each([
    ['ends at once', 'exit 3', 'it gave no reason (exit code 3)'],
    ['hangs', 'exec sleep 60', 'does not answer'],
  ])('that is another program and %s is said to be so, and is not left behind', async (_how, does, says) => {
    await program('redis-server', `#!/bin/sh\ncd '${bin}'\necho $$ > pid\n${does}\n`);
    const error = await failure({ searchPath: [bin, '/usr/bin', '/bin'].join(delimiter) });
    expect(error).toBeInstanceOf(SurroundingsError);
    expect(error.message).toContain(says);
    expect(error.message).toMatch(/is the redis-server in PATH (not )?the real one\?/);
    const pid = Number(await readFile(join(bin, 'pid'), 'utf8'));
    expect(pid).toBeGreaterThan(0);
    await expect.poll(() => stat(`/proc/${pid}/cwd`).then(Boolean, () => false)).toBe(false);
  });

  it('that is too old is named with its version, and not left behind', async () => {
    await program('redis-server', `#!${process.execPath}\n${oldServer}`);
    const error = await failure({ searchPath: bin });
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain('is version 5.0.14: reshoot needs 6.2 or newer');
    const { pid } = JSON.parse(await readFile(join(state.folder, 'server.json'), 'utf8')) as { pid: number };
    await expect.poll(() => stat(`/proc/${pid}/cwd`).then(Boolean, () => false)).toBe(false);
  });

  it('is not needed where there is a valkey-server', async () => {
    const { stdout } = await run('sh', ['-c', 'command -v redis-server || command -v valkey-server']);
    await symlink(stdout.trim(), join(bin, 'valkey-server'));
    const { redis, leave } = await state.open({ searchPath: bin });
    expect(await redis.info('server')).toMatch(/executable:.*\/valkey-server\r/);
    await leave();
  });
});

/** Answers as Redis 5 does, as far as anybody asks. */
const oldServer = `
const { createServer } = require('node:net');
const info = '# Server\\r\\nredis_version:5.0.14\\r\\nloading:0\\r\\n';
createServer((socket) => {
  socket.on('data', (bytes) => {
    for (const command of bytes.toString().toLowerCase().split(/(?=\\*\\d+\\r\\n\\$)/)) {
      socket.write(command.includes('info\\r\\n') && !command.includes('setinfo') ? '$' + info.length + '\\r\\n' + info + '\\r\\n' : '+OK\\r\\n');
    }
  });
}).listen(process.argv[process.argv.indexOf('--unixsocket') + 1]);`;

describe('files that a crash has damaged', () => {
  let files: string;
  let log: string;
  const keys = 2000;

  /** Fills the files and stops the server. */
  beforeEach(async () => {
    files = join(state.folder, 'appendonlydir');
    const { redis, leave } = await state.open();
    for (let i = 0; i < keys; i++) void redis.set(`key:${i}`, 'x'.repeat(50));
    expect(await redis.dbsize()).toBe(keys);
    await leave();
    log = join(files, (await readdir(files)).find((name) => name.endsWith('.incr.aof')) ?? '');
  });

  const age = async (seconds: number): Promise<void> => {
    const then = new Date(Date.now() - seconds * 1000);
    for (const name of await readdir(files)) await utimes(join(files, name), then, then);
  };

  it('at their end lose what is damaged only', async () => {
    await truncate(log, (await stat(log)).size - 20);
    const { redis, leave } = await state.open();
    expect(await redis.dbsize()).toBe(keys - 1);
    await leave();
    expect(await readdir(state.folder)).not.toContainEqual(expect.stringContaining('broken'));
  });

  it.each([
    ['zeros at the end, as after a power cut', async () => truncate(log, (await stat(log)).size + 4096)],
    [
      'something else in the middle',
      async () => {
        const file = await open(log, 'r+');
        // Longer than a command, so that it hits more than a value.
        await file.write('garbage!'.repeat(20), 50_000);
        await file.close();
      },
    ],
    ['a part that is gone', () => rm(log)],
    ['an empty list of parts', () => truncate(join(files, 'appendonly.aof.manifest'), 0)],
  ])('with %s are put aside when they are older than two windows, not sooner', async (_how, damage) => {
    await damage();
    await age(100);
    const error = await failure({ rateWindowMs: 60_000 });
    expect(error).toBeInstanceOf(SurroundingsError);
    expect(error.message).toMatch(/can't read its files in .*appendonlydir: .*try again in (19|20) s/);
    expect(await state.servers()).toEqual([]);

    const { redis, leave } = await state.open({ rateWindowMs: 50_000 - 1 });
    expect(await redis.dbsize()).toBe(0);
    await redis.set('begun', 'anew');
    await leave();
    const aside = (await readdir(state.folder)).filter((name) => name.startsWith('appendonlydir.broken-'));
    expect(aside).toHaveLength(1);
    expect((await readdir(join(state.folder, aside[0]!))).length).toBeGreaterThan(1);
    const again = await state.open();
    expect(await again.redis.get('begun')).toBe('anew');
    await again.leave();
  });
});

describe('a state folder', () => {
  it.skipIf(!isRoot)('of somebody else is refused (only root can make one)', async () => {
    await mkdir(state.folder, { recursive: true });
    await chown(state.folder, nobody, nobody);
    const error = await failure();
    expect(error).toBeInstanceOf(UsageError);
    expect(error.message).toContain(`${state.folder} belongs to somebody else`);
    expect(await readdir(state.folder)).toEqual([]);
  });

  it('that may not be written is said to be so', async () => {
    await mkdir(state.dir, { recursive: true });
    await chmod(state.dir, 0o500);
    // Root may write everywhere; so it becomes somebody else for this.
    if (isRoot) process.seteuid?.(nobody);
    const error = await failure().finally(() => isRoot && process.seteuid?.(0));
    expect(error).toBeInstanceOf(SurroundingsError);
    expect(error.message).toMatch(/gets no folder: EACCES.*Set RESHOOT_STATE_DIR/);
  });

  it('on a full disk is said to be full, before and while a server runs there', async ({ skip }) => {
    await mkdir(state.folder, { recursive: true, mode: 0o700 });
    const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'tmpfs', state.folder]).then(
      () => true,
      () => false,
    );
    if (!mounted) return skip('no file system can be mounted here, so none can be full');
    try {
      const first = await state.open();
      await first.redis.set('small', 'x');
      const pid = await pidOf(first);
      await writeFile(join(state.folder, 'ballast'), Buffer.alloc(2 ** 20)).catch(() => undefined);
      await first.redis.set('large', 'x'.repeat(2 ** 16)).catch(() => undefined);
      await expect.poll(() => first.redis.info('persistence')).toContain('aof_last_write_status:err');
      const during = await failure();
      expect(during).toBeInstanceOf(SurroundingsError);
      expect(during.message).toMatch(/No space left|ENOSPC/);
      await rm(join(state.folder, 'ballast'));
      await expect
        .poll(() => first.redis.info('persistence'), { timeout: 5000 })
        .toContain('aof_last_write_status:ok');
      const second = await state.open();
      expect(await pidOf(second)).toBe(pid);
      await second.leave();
      await first.leave();

      await writeFile(join(state.folder, 'ballast'), Buffer.alloc(2 ** 20)).catch(() => undefined);
      const before = await failure();
      expect(before).toBeInstanceOf(SurroundingsError);
      expect(before.message).toMatch(/No space left|ENOSPC/);
      expect(await state.servers()).toEqual([]);
      await rm(join(state.folder, 'ballast'));
      const { redis, leave } = await state.open();
      expect(await redis.get('small')).toBe('x');
      await leave();
    } finally {
      for (const pid of await state.servers()) process.kill(pid, 'SIGKILL');
      await run('umount', ['-l', state.folder]);
    }
  });
});
