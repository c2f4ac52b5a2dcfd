import { readdirSync, readFileSync, truncateSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { makeFinished, makeManifests } from '../../scripts/bench/catalogue.ts';
import { createRig } from '../fixtures/rig.ts';

/** `NIGHTLY_ROWS=12000` is a whole catalogue, and takes a third of a minute. */
const rows = Number(process.env['NIGHTLY_ROWS'] ?? 2000);
const pictureBytes = 5_000_000;
const night = new Date('2026-11-01T00:00:00Z');

/** Bytes that this process and those it has waited for ever asked files for. */
const bytesRead = (): number =>
  Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1] ?? 0);

it('the second night over an unchanged catalogue reads no picture and makes no call', async () => {
  const made = 'its first night is made up';
  const rig = await createRig({ except: { I3: made, D6: made } });
  onTestFinished(() => rig.close());
  const { csv, pictures } = makeManifests(rig.dir, rows);
  // Holes of 5 MB that no decoder takes for pictures: whoever looks into one finds fault with it.
  for (const name of readdirSync(pictures, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.png')) continue;
    const file = join(pictures, name);
    truncateSync(file, 0);
    truncateSync(file, pictureBytes);
    utimesSync(file, night, night);
  }
  await makeFinished({ folder: rig.dir, csv }, rig.out, rows, rig.simulator.url);

  const before = bytesRead();
  const found = await rig.run(['check', csv, '-o', 'out', '--json']);
  expect({ ...found, stdout: '' }).toMatchObject({ code: 0, stderr: '' });
  const { to_do: due, credits, bytes_to_send: bytes, changes } = JSON.parse(found.stdout);
  expect({ due, bytes, credits }).toEqual({
    due: 0,
    bytes: 0,
    credits: { at_least: 0, at_most: 0, needed_at_least: 0 },
  });
  expect(changes).toMatchObject({ added: [], changed: [], gone: [], unchanged: { length: rows } });
  expect(await rig.run(['run', csv, '-o', 'out', '--json'])).toMatchObject({ code: 0 });
  expect(await rig.summary()).toMatchObject({ rows: { skipped: rows }, calls: 0 });
  expect(rig.simulator.calls).toEqual([]);
  // Of records and plan some kilobytes a row; of the pictures it would be 5 MB a row.
  if (process.platform === 'linux') {
    const read = bytesRead() - before;
    expect(read).toBeGreaterThan(rows * 100);
    expect(read).toBeLessThan(50_000_000 + rows * 50_000);
  }

  // The proof is one: a picture that did change is looked into.
  utimesSync(join(pictures, '0001', 'SKU-0001007.png'), new Date(), new Date());
  const changed = await rig.run(['check', csv, '-o', 'out']);
  expect(changed).toMatchObject({ code: 2, stdout: expect.stringContaining('SKU-0001007.png') });
});
