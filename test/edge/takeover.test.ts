import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { self, type Owner } from '../../src/owner.ts';
import { keyOf, type Call } from '../../src/records/call.ts';
import { createRig, small, type Rig } from '../fixtures/rig.ts';

let rig: Rig;
beforeEach(async () => {
  rig = await createRig();
});
afterEach(() => rig.close());

const elsewhere: Owner = { host: 'another-machine pid:[4026531836]', pid: 4711, started: '99' };
/** The usual time-out of a call, and what its process may need beyond. */
const longestMs = 360_000;

/** A record of `r1`, as another process would have left it that many milliseconds ago. */
async function leftBy(owner: Owner, agoMs: number): Promise<void> {
  const file = join(rig.out, '.reshoot/calls', keyOf('r1').slice(0, 2), keyOf('r1'), '1.json');
  const call = JSON.parse(await readFile(file, 'utf8')) as Call;
  const started_at = new Date(Date.now() - agoMs).toISOString();
  await writeFile(file, JSON.stringify({ ...call, owner, started_at }));
}

describe('a run that was cut off', () => {
  it('is not taken up while a machine with another Redis may have a call of it in flight', async () => {
    const file = await rig.manifest(['one', 'two']);
    await rig.run(['run', file, ...small, '--concurrency', '1'], { killAt: 'spooled' });
    await leftBy(elsewhere, 30_000);
    for (const prompt of ['"two"', '"three"']) {
      await writeFile(file, (await readFile(file, 'utf8')).replace('"two"', prompt));
      const { code, stderr } = await rig.run(['run', file, ...small]);
      expect(code).toBe(2);
      expect(stderr).toMatch(
        /another-machine sent a call for row "r1" at .+ same REDIS_URL; or, .+ after 20/,
      );
    }
    const [run, ...others] = await readdir(join(rig.out, '.reshoot/runs'));
    expect(others).toEqual([]);
    expect(await readdir(join(rig.out, '.reshoot/runs', run!))).not.toContain('end.json');

    await leftBy(elsewhere, longestMs + 1000);
    expect((await rig.run(['run', file, ...small])).code).toBe(0);
    expect(rig.simulator.calls).toHaveLength(2);
  });

  it('goes on once a call must be over, though its process lives and will not finish it', async () => {
    const file = await rig.manifest(['one']);
    await rig.run(['run', file, ...small], { killAt: 'spooled' });
    await leftBy(self, longestMs - 8000);
    const { code, stderr } = await rig.run(['run', file, ...small, '-v']);
    expect(code).toBe(0);
    expect(stderr).toContain('a living process has this call in flight: waiting for it');
    expect(rig.simulator.calls).toHaveLength(1);
    expect(await rig.results()).toMatchObject([{ status: 'succeeded', charged: 'yes' }]);
  }, 40_000);
});
