import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { check } from '../../src/commands/check.ts';
import { readSettings } from '../../src/commands/config-file.ts';
import { init } from '../../src/commands/init.ts';
import type { Io } from '../../src/commands/io.ts';
import type { PlanFlags } from '../../src/commands/plan-options.ts';
import { readConfig } from '../../src/config.ts';
import { picture } from '../fixtures/rig.ts';

let dir: string;
beforeEach(async () => void (dir = await mkdtemp(join(tmpdir(), 'init-'))));
afterEach(() => rm(dir, { recursive: true }));

/** What a command says on standard output, after its exit code. */
async function said(command: (io: Io) => Promise<number>): Promise<string> {
  let out = '';
  const io: Io = {
    out: (text) => void (out += text),
    err: () => undefined,
    stop: new AbortController().signal,
    ask: undefined,
  };
  const code = await command(io);
  return `${code} ${out}`;
}
const initIn = (folder: string): Promise<string> => said((io) => init(folder, io));

const flags: PlanFlags = {
  name: '{id}.{ext}',
  map: [],
  size: '2K',
  ratio: '1:1',
  route: '1',
  maxAttempts: '4',
  retryBudget: '10%',
  concurrency: 'auto',
  timeout: '300s',
};
const checked = (folder: string): Promise<string> =>
  said((io) => check(join(folder, 'manifest.csv'), flags, readConfig({}), io));

describe('init', () => {
  it('makes a manifest that check finds sound as soon as its pictures are there', async () => {
    const shop = join(dir, 'new', "Anna's shop");
    const text = await initIn(shop);
    expect(text).toMatch(/^0 /);
    expect(text).toContain(`cd '${shop.replace("'", "'\\''")}'`);
    const before = await checked(shop);
    expect(before).toMatch(/^2 /);
    for (const n of [1, 2]) expect(before).toContain(`there is no file ${shop}/photos/your-picture-${n}.jpg`);
    expect(before).toContain('2 rows, 0 to do, 2 problems');
    await mkdir(join(shop, 'photos'));
    for (const n of [1, 2]) await writeFile(join(shop, `photos/your-picture-${n}.jpg`), await picture());
    const after = await checked(shop);
    expect(after).toMatch(/^0 /);
    expect(after).toContain('2 rows, 2 to do, 0 problems');
  });

  it('makes a configuration of which every line is a setting, none of them on', async () => {
    await initIn(dir);
    const text = await readFile(join(dir, 'reshoot.yaml'), 'utf8');
    const names =
      'output name map image-root encoding format prompt size ratio route max-credits max-attempts';
    const onlyHere = 'maxCreditsPerDay timeZone creditPrice';
    const options = `${names} retry-budget on-unknown halt timeout concurrency skip-invalid ${onlyHere}`
      .split(' ')
      .map((name) => ({
        name: () => name,
        attributeName: () => name,
        isBoolean: () => name === 'skip-invalid',
      }));
    expect(readSettings(text, options).size).toBe(0);
    const switchedOn = readSettings(text.replaceAll(/^#(?! \S)/gm, ''), options);
    expect([...switchedOn.keys()].sort()).toEqual(options.map(({ name }) => name()).sort());
    expect(switchedOn.get('map')).toEqual(['id=SKU', 'image=Image Src']);
  });

  it('makes a place for the key that only its owner can read', async () => {
    await initIn(dir);
    expect((await stat(join(dir, '.env'))).mode & 0o777).toBe(0o600);
    const env = parseEnv(await readFile(join(dir, '.env'), 'utf8'));
    expect(env).toEqual({ SPIDERHUBS_API_KEY: '' });
    expect(readConfig(env as Record<string, string>).accounts).toEqual([]);
  });

  it('leaves alone whatever is there, and says so', async () => {
    await writeFile(join(dir, '.env'), 'SPIDERHUBS_API_KEY=sk_live_mine');
    await symlink('elsewhere.csv', join(dir, 'manifest.csv'));
    const text = await initIn(dir);
    expect(text).toMatch(/^0 /);
    expect(text).toMatch(/manifest\.csv +was there already/);
    expect(text).toMatch(/\.env +was there already/);
    expect(text).toMatch(/reshoot\.yaml +settings/);
    expect(await readFile(join(dir, '.env'), 'utf8')).toBe('SPIDERHUBS_API_KEY=sk_live_mine');
    await expect(stat(join(dir, 'elsewhere.csv'))).rejects.toThrow('ENOENT');
    expect((await initIn(dir)).match(/was there already/g)).toHaveLength(3);
  });

  it('refuses a file as its folder', async () => {
    await writeFile(join(dir, 'file'), '');
    await expect(init(join(dir, 'file'), {} as Io)).rejects.toThrow(/UsageError|is no folder/);
    await expect(init(join(dir, 'file', 'below'), {} as Io)).rejects.toThrow('is no folder');
  });
});
