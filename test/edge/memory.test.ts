import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { serve, spoolPath } from '../fixtures/api-call.ts';
import { answer, pictureAnswer } from '../fixtures/api-server.ts';

const picture = Buffer.alloc(16 * 1024 * 1024, 'a large picture');

it('60 answers of 16 MB at once fit into a heap of 64 MB and a process of 250 MB', async () => {
  const body = Buffer.from(pictureAnswer(picture));
  const server = await serve({ onRequest: (socket) => answer(socket, 200, body) });
  const args = ['--max-old-space-size=64', '--import', 'tsx', 'test/fixtures/api-memory.ts'];
  const { stdout } = await promisify(execFile)(process.execPath, [
    ...args,
    server.origin,
    dirname(spoolPath()),
    '60',
  ]);
  const { sums, peakMb } = JSON.parse(stdout) as { sums: string[]; peakMb: number };
  expect(server.connections).toBe(60);
  expect(new Set(sums)).toEqual(new Set([createHash('sha256').update(picture).digest('hex')]));
  expect(sums).toHaveLength(60);
  expect(peakMb).toBeLessThan(250);
});
