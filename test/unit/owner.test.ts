import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { isSame, livesHere, ownerSchema, self, type Owner } from '../../src/owner.ts';

const ownerOf = 'const { self } = await import("./src/owner.ts"); console.log(JSON.stringify(self)); ';
const node = ['--import', 'tsx', '--input-type=module', '--eval'];

describe('owner', () => {
  it('is this process, and survives a record', () => {
    const read = ownerSchema.parse(JSON.parse(JSON.stringify(self)));
    expect(read).toEqual(self);
    expect(isSame(read, self)).toBe(true);
    expect(livesHere(self)).toBe(true);
  });

  it('is another where host, process or its start differ', () => {
    for (const other of [{ host: 'elsewhere' }, { pid: 1 }, { started: '1' }])
      expect(isSame({ ...self, ...other }, self)).toBe(false);
  });

  it('of another host may live or not: nobody can tell', () => {
    expect(livesHere({ ...self, host: 'elsewhere' })).toBeUndefined();
  });

  // Only root may make a namespace.
  it.skipIf(process.platform !== 'linux' || process.getuid?.() !== 0)(
    'of another pid namespace under the same host name may live or not',
    async () => {
      const apart = ['--pid', '--fork', '--mount-proc', process.execPath, ...node, ownerOf];
      const { stdout } = await promisify(execFile)('unshare', apart);
      const other = JSON.parse(stdout) as Owner;
      expect(other.pid).toBe(1);
      expect(livesHere(other)).toBeUndefined();
    },
    30_000,
  );

  it('that ended does not live, and no process that got its number stands in for it', async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [...node, ownerOf]);
    const gone = JSON.parse(stdout) as Owner;
    expect(livesHere(gone)).toBe(false);
    expect(livesHere({ ...self, started: '1' })).toBe(process.platform !== 'linux');
    expect(livesHere({ host: self.host, pid: gone.pid })).toBe(false);
    expect(livesHere({ host: self.host, pid: process.ppid })).toBe(true);
  }, 30_000);

  it('that is dead but not yet buried by its parent is dead where the system tells', async () => {
    // The shell becomes a sleep that never asks after its child.
    const script = '"$@" & exec sleep 30';
    const parent = spawn('sh', ['-c', script, 'sh', process.execPath, ...node, ownerOf]);
    try {
      const [line] = (await once(parent.stdout, 'data')) as [Buffer];
      const zombie = JSON.parse(line.toString()) as Owner;
      for (let tries = 0; livesHere(zombie) && tries < 40; tries++) await sleep(50);
      expect(livesHere(zombie)).toBe(process.platform !== 'linux');
    } finally {
      parent.kill();
    }
  }, 30_000);
});
