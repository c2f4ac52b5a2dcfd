import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { openOutput } from '../../src/batch/output.ts';
import { createOutputs } from '../../src/batch/outputs.ts';
import { createLog } from '../../src/log.ts';

it('a worker forgets the runs that nobody asked for in a long time, and finds them again', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'reshoot-outputs-'));
  try {
    const { store } = await openOutput(folder);
    const origin = 'http://127.0.0.1';
    const outputs = createOutputs(origin, createLog('silent', []), 2);
    const find = (run: string) => outputs.find({ run, output: folder, store, origin });
    const first = await find('r1');
    await find('r2');
    expect(await find('r1')).toBe(first);
    await find('r3');
    expect(['r1', 'r2', 'r3'].map((run) => outputs.of(run)?.store)).toEqual([store, undefined, store]);
    expect((await find('r2'))?.store).toBe(store);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
