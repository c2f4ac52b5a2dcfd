import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SimulatedCall } from '../../src/simulator/call-log.ts';
import { startSimulator, type Simulator } from '../../src/simulator/server.ts';
import { expectSound } from '../checker/expect.ts';
import { built } from '../fixtures/build.ts';
import { picture } from '../fixtures/rig.ts';

const readme = await readFile('README.md', 'utf8');
const blocks = [...readme.matchAll(/```sh\n(.*?)```/gs)].map((match) => match[1] ?? '');
/** The block that holds this text. */
const block = (text: string): string =>
  blocks.find((found) => found.includes(text)) ?? `no block with ${text}`;

let dir: string;
let simulator: Simulator;
let env: NodeJS.ProcessEnv;
/** Calls that were made for the first run, which has a folder of its own. */
let first: SimulatedCall[];
const key = 'sk_live_readme';

/** `npx reshoot` is the commands that were built; `npm` and `docker` only say what they are told. */
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'reshoot-readme-'));
  simulator = await startSimulator({ latency: { min: 3000, max: 3000 } });
  const bin = join(dir, 'bin');
  await mkdir(bin);
  const shims = {
    npx: `#!/bin/sh\nshift\nexec "${process.execPath}" "${built('src/bin.js')}" "$@"\n`,
    npm: '#!/bin/sh\necho "npm $*"\n',
    docker: '#!/bin/sh\necho "docker $*"\n',
  };
  for (const [name, text] of Object.entries(shims)) {
    await writeFile(join(bin, name), text);
    await chmod(join(bin, name), 0o755);
  }
  env = {
    PATH: `${bin}:${process.env['PATH']}`,
    HOME: dir,
    RESHOOT_STATE_DIR: join(dir, 'state'),
    SPIDERHUBS_BASE_URL: simulator.url,
    SPIDERHUBS_API_KEY: key,
  };
  await mkdir(join(dir, 'photos'));
  await writeFile(join(dir, 'photos', 'shoe.png'), await picture());
  await writeFile(join(dir, 'photos', 'mug.png'), await picture('#36c'));
});

afterAll(async () => {
  try {
    await expectSoundAfter(first, join(dir, 'shop'));
    await expectSoundAfter(
      simulator.calls.filter((call) => !first.includes(call)),
      dir,
    );
  } finally {
    await simulator.close();
    await rm(dir, { recursive: true, force: true });
  }
});

const expectSoundAfter = (api: SimulatedCall[], folder: string): Promise<void> =>
  expectSound(folder, {
    api,
    limit: { calls: 30, windowMs: 60_000, slackMs: 500 },
    // Blocks are whole scripts, which tell of no single command.
    commands: [],
    redis: new Map(),
    namespace: 'reshoot',
    secrets: [key],
  });

/** Runs a block as it stands, a failing line ends it. */
async function bash(script: string, more: NodeJS.ProcessEnv = {}): Promise<string> {
  const options = { cwd: dir, env: { ...env, ...more } };
  const { stdout } = await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], options);
  return stdout;
}

describe('what README shows', () => {
  it('at first is what CI and the test of the demo run', async () => {
    expect(await bash(block('npm run demo'))).toBe('npm ci\nnpm run demo\n');
    expect(await bash(block('npm test'))).toBe('npm ci\nnpm test\n');
    expect(await readFile('.ci/run', 'utf8')).toMatch(/npm ci[^]*npm test/);
    expect(JSON.parse(await readFile('package.json', 'utf8')).scripts.demo).toContain('scripts/demo.js');
  });

  it('as a first run leads from nothing to pictures, once its files are filled in', async () => {
    const photos = join(dir, 'shop', 'photos');
    await mkdir(photos, { recursive: true });
    for (const n of [1, 2])
      await copyFile(join(dir, 'photos', 'shoe.png'), join(photos, `your-picture-${n}.jpg`));
    const said = await bash(block('reshoot init'));
    expect(said).toMatch(/2 succeeded[^]*2 skipped/);
    first = [...simulator.calls];
    expect(first).toHaveLength(2);
  });

  it('for a Shopify export and for a folder does them', async () => {
    const export_ = [
      'Handle,Title,Vendor,Variant SKU,Image Src',
      'mug,"Mug, large",Kiln,MUG-1,photos/mug.png',
      'mug,,,,photos/gone.png',
    ];
    await writeFile(join(dir, 'products_export.csv'), `${export_.join('\n')}\n`);
    expect(await bash(block('products_export.csv'))).toContain('1 succeeded');
    expect(simulator.calls.at(-1)).toMatchObject({ status: 200 });
    expect((await readFile(join(dir, 'out', 'Kiln', 'mug.jpg'))).length).toBeGreaterThan(0);
    await rename(join(dir, 'out'), join(dir, 'out-shopify'));
    expect(await bash(block('run photos'))).toContain('2 succeeded');
    await rename(join(dir, 'out'), join(dir, 'out-folder'));
  });

  it('for a run that others work on submits, looks, steers and waits', async () => {
    await writeFile(
      join(dir, 'manifest.csv'),
      'id,image,prompt\na,photos/mug.png,one\nb,photos/shoe.png,two\n',
    );
    const said = await bash(block('reshoot submit'));
    expect(said).toMatch(/is paused[^]*goes on[^]*2 succeeded/);
  });

  it('for several accounts is read so', async () => {
    const accounts = `unset SPIDERHUBS_API_KEY\n${block('SPIDERHUBS_API_KEYS=')}npx reshoot doctor`;
    expect(await bash(accounts)).toMatch(/key +present for shop, agency/);
  });

  it('for containers names services, profiles and files that there are', async () => {
    const compose = await readFile('docker-compose.yml', 'utf8');
    for (const line of (await bash(block('docker build'))).trim().split('\n')) {
      for (const name of ['redis', 'worker', 'demo'])
        if (new RegExp(`\\b${name}\\b`).test(line)) expect(compose).toContain(`\n  ${name}:\n`);
    }
    expect(compose).toContain('profiles: [demo]');
  });

  it('finds the command executable after every build: npx sees to that only the first time in a folder', async () => {
    expect((await stat(built('src/bin.js'))).mode & 0o111).toBe(0o111);
  });

  it('is all of it', () => {
    expect(blocks).toHaveLength(8);
  });
});
