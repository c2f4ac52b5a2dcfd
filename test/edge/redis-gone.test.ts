import { once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { createRig, type Ended } from '../fixtures/rig.ts';

it('F24: every command that only looks or steers ends with 1 within 10 s when Redis is gone or silent', async () => {
  const rig = await createRig();
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const mute = `redis://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  try {
    const file = await rig.manifest(['a scene']);
    const commands = [
      ['status'],
      ['wait', 'r1'],
      ['pause', 'r1'],
      ['resume', 'r1'],
      ['cancel', 'r1'],
      ['submit', file, '-o', 'out'],
      ['doctor'],
    ];
    const timed = async (args: string[], url: string): Promise<[Ended, number]> => {
      const started = performance.now();
      return [await rig.run(args, {}, { REDIS_URL: url }), performance.now() - started];
    };
    for (const url of ['redis://127.0.0.1:1', mute]) {
      const ends = await Promise.all(commands.map((args) => timed(args, url)));
      for (const [i, [{ code, stdout, stderr }, ms]] of ends.entries()) {
        expect({ command: commands[i]?.[0], code, says: stdout + stderr }).toMatchObject({
          code: 1,
          says: expect.stringContaining('does not answer'),
        });
        expect(ms).toBeLessThan(10_000);
      }
    }
    await expect(stat(join(rig.out, '.reshoot'))).rejects.toThrow('ENOENT');
  } finally {
    silent.close();
    await rig.close();
  }
});
