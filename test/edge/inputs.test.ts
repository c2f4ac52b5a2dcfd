import {
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterEach, describe, expect, it } from 'vitest';
import type { Io } from '../../src/commands/io.ts';
import type { PlanFlags } from '../../src/commands/plan-options.ts';
import { prepare } from '../../src/commands/prepare.ts';
import { readConfig } from '../../src/config.ts';
import { startRedis } from '../fixtures/redis.ts';
import { createRig, picture, prompts, small, until, type Rig, type RigOptions } from '../fixtures/rig.ts';

let rig: Rig;
const open = async (options: RigOptions = {}): Promise<void> => {
  rig = await createRig(options);
};
afterEach(() => rig.close());

const statuses = async (): Promise<string[]> => (await rig.results()).map(({ status }) => status);

async function table(name: string, rows: string[][]): Promise<string> {
  const lines = rows.map((cells) => cells.map((cell) => `"${cell.replaceAll('"', '""')}"`).join(','));
  await writeFile(join(rig.dir, name), `${lines.join('\n')}\n`);
  return join(rig.dir, name);
}

/** Names of all files below a folder. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

describe('before anything is sent', () => {
  it('all that is wrong with rows, names and folders is found, and nothing happens', async () => {
    await open({ except: { I2: "a file of the user's own stands in the output" } });
    const file = await table('m.csv', [
      ['id', 'image', 'prompt', 'size', 'output'],
      ['good', 'pictures/p.png', 'one', '', ''],
      ['gone', 'pictures/gone.png', 'two', '', ''],
      ['big', 'pictures/p.png', 'three', '9K', ''],
      ['good', 'pictures/p.png', 'four', '', ''],
      ['up', 'pictures/p.png', 'five', '', '../up.jpg'],
    ]);
    const names = await table('names.csv', [
      ['id', 'image', 'prompt', 'output'],
      ['linked', 'pictures/p.png', 'one', 'link/a.jpg'],
      ['Taken', 'pictures/p.png', 'two', ''],
      ['free', 'pictures/p.png', 'three', ''],
    ]);
    await mkdir(rig.out);
    await mkdir(join(rig.dir, 'elsewhere'));
    await symlink(join(rig.dir, 'elsewhere'), join(rig.out, 'link'));
    await writeFile(join(rig.out, 'taken.PNG'), "the user's own");
    await mkdir(join(rig.out, 'report'));
    await writeFile(join(rig.out, 'report', 'summary.json'), "the user's own");
    const inputs = await table('inputs.csv', [
      ['id', 'image', 'prompt'],
      ['p', 'pictures/p.png', 'one'],
    ]);
    const [rows, output, mixed] = await Promise.all([
      rig.run(['run', file, ...small]),
      rig.run(['run', names, ...small, '--skip-invalid']),
      rig.run(['run', inputs, '-o', 'pictures']),
    ]);
    expect([rows.code, output.code, mixed.code]).toEqual([2, 2, 2]);
    for (const line of [3, 4, 5, 6]) expect(rows.stderr).toContain(`m.csv:${line}:`);
    expect(output.stderr).toContain('leads out of the output folder');
    expect(output.stderr).toContain('taken.PNG');
    expect(output.stderr).toContain('something else stands there already: report/summary.json');
    expect(mixed.stderr).toContain('name another output folder');
    expect(rig.simulator.calls).toHaveLength(0);
    expect(await readdir(join(rig.dir, 'elsewhere'))).toEqual([]);

    await rm(join(rig.out, 'report'), { recursive: true });
    expect((await rig.run(['run', file, ...small, '--skip-invalid'])).code).toBe(0);
    expect(await statuses()).toEqual(['succeeded', 'invalid', 'invalid', 'invalid', 'invalid']);
    expect(rig.simulator.calls).toHaveLength(1);
    expect(await readFile(join(rig.out, 'taken.PNG'), 'utf8')).toBe("the user's own");
  });
});

describe('check', () => {
  const changesIn = async (args: string[]): Promise<unknown> =>
    JSON.parse((await rig.run(['check', ...args, ...small, '--json'])).stdout).changes;

  it('says of every row how it stands against the output, and counts none twice', async () => {
    await open();
    const all = ['one', 'two [sim:422*]', 'three [sim:reset*]', 'four', 'five [sim:503*]', 'six', 'seven'];
    const file = await rig.manifest(all);
    // Row 6 and 7 are new; row 3 is held.
    const first = ['run', file, ...small, '--limit', '5', '--max-attempts', '1', '--on-unknown', 'hold'];
    await rig.run(first);
    const paid = rig.simulator.calls.length;
    expect(await statuses()).toEqual(
      ['succeeded', 'failed', 'held', 'succeeded', 'held'].concat(Array(2).fill('not_attempted')),
    );
    expect(await changesIn([file])).toEqual({
      added: ['r6', 'r7'],
      changed: [],
      unchanged: ['r1', 'r4'],
      held: ['r3', 'r5'],
      failed: ['r2'],
      sent_before: [],
      gone: [],
    });
    const mended = await rig.manifest([...all.slice(0, 3), 'better', ...all.slice(4)]);
    const again = await rig.run(['check', mended, ...small, '--on-unknown', 'retry', '--limit', '6']);
    expect(again.stdout).toContain('7 rows, 6 chosen, 4 to do, 0 problems');
    expect(again.stdout).toContain(
      'Against the output: 1 unchanged, 1 failed for good, 2 sent before, 1 new, 1 changed (prompt)\n',
    );
    const fewer = await rig.manifest(['one']);
    const { stdout } = await rig.run(['check', fewer, ...small]);
    expect(stdout).toMatch(
      /1 row, 0 to do, 0 problems\n.*: 1 unchanged; 1 gone from this manifest \(kept\)\n$/,
    );
    const ours = join(rig.out, 'report', 'failed.csv');
    expect(await changesIn([ours])).toMatchObject({ unchanged: [], gone: [] });
    expect(rig.simulator.calls).toHaveLength(paid);
  });

  it('says what a cap, a limit and left out rows mean, and refuses what run refuses', async () => {
    await open();
    const file = await rig.manifest(prompts(31), { size: ['9K'] });
    const of = async (...args: string[]): Promise<string> => {
      const { code, stdout } = await rig.run(['check', file, ...args]);
      return `${code} ${stdout}`;
    };
    const lines = ['31 rows, 1 left out as invalid, 30 to do, 1 problem', 'Credits: at least 30, at most 43'];
    const left = await of('--skip-invalid');
    for (const line of lines) expect(left).toContain(line);
    expect(left).toContain('Time at the limit: all calls may go at once, so as long as they take');
    expect(await of('--map', 'size=')).toContain('Time at the limit: about 2 s, and as long as');
    expect(await of('--skip-invalid', '--max-credits', '2')).toContain(
      'Credits: at most 2: the cap of 2 is below the 30 credits that these rows need at least',
    );
    expect(await rig.run(['check', file, '--concurrency', 'zero'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--concurrency zero: write auto or'),
    });
    await writeFile(join(rig.dir, 'reshoot.yaml'), 'creditPrice: 0.04 USD\nskip-invalid: true\n');
    expect(await of()).toContain('Credits: at least 30, at most 43\nIn money: 1.20 to 1.72 USD\n');
    const { stdout } = await rig.run(['check', file, '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      credits: { at_least: 30, at_most: 43 },
      cost: { at_least: 1.2, at_most: 1.72, currency: 'USD' },
    });
    await writeFile(join(rig.dir, 'reshoot.yaml'), 'creditPrice: cheap\n');
    expect(await rig.run(['check', file])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('reshoot.yaml:1:14: creditPrice: cheap: write what a credit costs'),
    });
    await rm(join(rig.dir, 'reshoot.yaml'));
    const whole = await table('whole.csv', [
      ['id', 'image'],
      ['r1', 'pictures/p.png'],
    ]);
    const refused = await rig.run(['run', whole, ...small, '--skip-invalid']);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('1 row, 0 to do, 1 problem') });
    expect(refused.stderr).not.toMatch(/Credits|skip-invalid/);
    expect(refused.stderr).toContain('Nothing was sent. Mend what is said above.');
    const rows = await rig.run(['run', file, ...small]);
    expect(rows.stderr).toContain('Mend what is said above, or leave such rows out with --skip-invalid.');
    expect(rig.simulator.calls).toHaveLength(0);
  });
});

describe('the question', () => {
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
  /** What a person is asked and told, who answers so. */
  const talk = async (file: string, answer: string, given: Partial<PlanFlags> = {}) => {
    const said = { asked: '', told: '', goesOn: false };
    const io: Io = {
      out: () => undefined,
      err: (text) => void (said.told += text),
      stop: new AbortController().signal,
      ask: (question) => Promise.resolve(((said.asked += question), answer)),
    };
    const prepared = await prepare('run', file, { ...flags, output: rig.out, ...given }, readConfig({}), io);
    return { ...said, goesOn: prepared !== undefined };
  };

  it('comes before more than 100 credits may be spent, and who answers no is told that nothing was sent', async () => {
    await open();
    const file = await rig.manifest(prompts(101));
    expect(await talk(file, 'n')).toMatchObject({
      goesOn: false,
      asked: 'This may spend 101 to 121 credits. Go on? [y/N] ',
      told: expect.stringMatching(/\nNothing was sent\.\n$/),
    });
    expect(await talk(file, '是')).toMatchObject({ goesOn: true });
    expect(await talk(file, 'n', { limit: '83', creditPrice: '0.04 USD' })).toMatchObject({
      goesOn: false,
      asked: 'This may spend 83 to 101 credits (3.32 to 4.04 USD). Go on? [y/N] ',
    });
    for (const given of [{ yes: true }, { limit: '82' }, { maxCredits: '100' }]) {
      expect(await talk(file, 'n', given)).toMatchObject({ goesOn: true, asked: '' });
    }
  });
});

describe('while a run is on', () => {
  it("F61: a file or link put at an output's name is left alone, and the paid picture is kept until there is room", async () => {
    await open({ latency: { min: 1500, max: 1500 } });
    const file = await rig.manifest(['one', 'two'], { output: ['', 'sub/r2.jpg'] });
    const elsewhere = join(rig.dir, 'elsewhere');
    await mkdir(elsewhere);
    const run = rig.start(['run', file, ...small]);
    await until(() => rig.atWork() === 2);
    const taken = join(rig.out, 'r1.jpg');
    await writeFile(taken, "the user's own");
    await symlink(elsewhere, join(rig.out, 'sub'));
    expect((await run.ended).code).toBe(6);
    for (const row of await rig.results()) {
      expect(row).toMatchObject({ status: 'failed', error_code: 'output_taken', charged: 'yes', credits: 1 });
    }
    expect(await readFile(taken, 'utf8')).toBe("the user's own");
    expect(await readdir(elsewhere)).toEqual([]);
    expect(await readdir(join(rig.out, '.reshoot', 'spool'))).toHaveLength(2);

    const refused = await rig.run(['run', file, ...small]);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(/r1\.jpg.*through a link/s) });
    expect(await readFile(taken, 'utf8')).toBe("the user's own");

    await rm(taken);
    await rm(join(rig.out, 'sub'));
    expect((await rig.run(['run', file, ...small])).code).toBe(0);
    expect(await statuses()).toEqual(['skipped', 'skipped']);
    expect((await stat(taken)).size).toBeGreaterThan(100);
    expect(await readdir(join(rig.out, '.reshoot', 'spool'))).toEqual([]);
    expect(rig.simulator.calls).toHaveLength(2);
  });

  it('a reference picture that vanishes fails its row alone', async () => {
    await open({ limit: 20 });
    const last = join(rig.dir, 'pictures', 'last.png');
    await copyFile(join(rig.dir, 'pictures', 'p.png'), last);
    const rows = prompts(39).map((prompt, i) => [`r${i + 1}`, 'pictures/p.png', prompt]);
    const file = await table('m.csv', [['id', 'image', 'prompt'], ...rows, ['last', last, 'the last']]);
    // Not all rows at once, or the last picture is read before it can vanish.
    const run = rig.start(['run', file, ...small, '--concurrency', '5']);
    await until(() => rig.simulator.calls.length > 0);
    await rm(last);
    expect((await run.ended).code).toBe(6);
    const results = await rig.results();
    expect(results.at(-1)).toMatchObject({ status: 'failed', error_code: 'input_missing', attempts: 0 });
    expect((await rig.summary()).rows).toMatchObject({ succeeded: 39, failed: 1 });
    // It has no call that would tell of it where a later run leaves it out.
    expect((await rig.run(['retry', 'out', '--ids', 'r1'])).code).toBe(0);
    expect((await rig.results()).at(-1)).toMatchObject({ status: 'failed', error_code: 'input_missing' });
  });
});

it('a fault of the program over a row fails it in the end, and the run ends', async () => {
  await open();
  const file = await rig.manifest(['one']);
  // No storage writes through a link that leads out, and nothing foresees one here.
  await mkdir(join(rig.out, '.reshoot'), { recursive: true });
  await symlink(rig.dir, join(rig.out, '.reshoot', 'done'));
  expect((await rig.run(['run', file, ...small])).code).toBe(6);
  expect(await rig.results()).toMatchObject([{ status: 'failed', error_code: 'bug', charged: 'no' }]);
  expect(rig.simulator.calls).toHaveLength(0);
});

it('what is done goes by content: only a changed prompt and a deleted picture are paid for again', async () => {
  await open({ except: { I7: 'a picture is deleted' } });
  const first = await rig.manifest(['one', 'two', 'three']);
  expect((await rig.run(['run', first, ...small])).code).toBe(0);
  const old = await readFile(join(rig.out, 'r1.jpg'));

  const changed = await rig.manifest(['one, but better', 'two', 'three']);
  await rm(join(rig.out, 'r2.jpg'));
  expect((await rig.run(['run', changed, ...small])).code).toBe(0);
  expect(await statuses()).toEqual(['succeeded', 'succeeded', 'skipped']);
  expect(rig.simulator.calls.slice(3).map(({ row }) => row)).toEqual(
    expect.arrayContaining(['one, but better', 'two']),
  );
  const [replaced] = await filesIn(join(rig.out, '.reshoot', 'replaced'));
  expect(await readFile(replaced ?? '')).toEqual(old);
  expect(await readFile(join(rig.out, 'r1.jpg'))).not.toEqual(old);

  await mkdir(join(rig.dir, 'moved'));
  const moved = join(rig.dir, 'moved', 'm.csv');
  const text = await readFile(changed, 'utf8');
  await writeFile(moved, text.replaceAll('"r', '"renamed-'));
  await rename(join(rig.dir, 'pictures'), join(rig.dir, 'photos'));
  await symlink('photos', join(rig.dir, 'pictures'));
  await utimes(join(rig.dir, 'photos', 'p.png'), new Date(), new Date());
  const again = ['run', moved, ...small, '--image-root', rig.dir, '--name', 'web/{id}.{ext}'];
  expect((await rig.run(again)).code).toBe(0);
  expect(await statuses()).toEqual(['skipped', 'skipped', 'skipped']);
  expect(rig.simulator.calls).toHaveLength(5);
  for (const n of [1, 2, 3]) {
    const was = await readFile(join(rig.out, `r${n}.jpg`));
    expect(await readFile(join(rig.out, 'web', `renamed-${n}.jpg`))).toEqual(was);
  }
});

describe('what is nobody else’s business', () => {
  const key = 'sk_live_canary-7f/+=%&"\\key';
  const forms = [key, encodeURIComponent(key), JSON.stringify(key).slice(1, -1)].concat(
    [key, `Bearer ${key}`].flatMap((text) => ['base64', 'base64url', 'hex'].map((as) => encoded(text, as))),
  );
  const hostile = '\u001B[2J\u001B]0;owned\u0007 \u009B31m \u202Eevil\u2066 鞋';

  it('a key is in no file, output, Redis or command line, and nothing raw reaches a terminal', async () => {
    const redis = await startRedis();
    await open({ redisUrl: redis.url, latency: { min: 800, max: 800 } });
    const data = `data:image/png;base64,${(await picture()).toString('base64')}`;
    const file = await table('m.csv', [
      ['id', 'image', 'prompt', 'note'],
      ['plain', 'pictures/p.png', `scene ${hostile}`, hostile],
      ['inline \u202E', data, 'scene 2 [sim:503]', ''],
      ['echoed', 'pictures/p.png', `[sim:${hostile}]`, ''],
    ]);
    try {
      const run = rig.start(['run', file, ...small, '-v'], {}, { SPIDERHUBS_API_KEY: key });
      await until(() => rig.simulator.inFlight > 0);
      const during = (await dump(redis.url)) + (await readFile(`/proc/${run.pid}/cmdline`, 'latin1'));
      const { code, stdout, stderr } = await run.ended;
      expect(code).toBe(6);
      expect(await statuses()).toEqual(['succeeded', 'succeeded', 'failed']);
      expect(rig.simulator.calls.every(({ account }) => account === 'canary')).toBe(true);
      const files = await Promise.all((await filesIn(rig.out)).map((name) => readFile(name, 'latin1')));
      const everything = [during, await dump(redis.url), stdout, stderr, ...files].join('\n');
      expect(forms.filter((form) => everything.includes(form))).toEqual([]);
      const texts = (await filesIn(rig.out)).filter((name) => /\.(jsonl?|csv)$/.test(name));
      const told = await Promise.all(texts.map((name) => readFile(name, 'utf8')));
      expect([stdout, stderr, during, ...told].join('\n')).not.toMatch(/[A-Za-z0-9+/]{400,}/);
      expect(stdout + stderr).not.toMatch(unprintable);
      expect(stderr).toContain('call failed');
    } finally {
      await redis.close();
    }
  });

  it('hostile cells are found fault with in plain characters, as text and as JSON', async () => {
    await open();
    const file = await table('m.csv', [
      ['id', 'image', 'prompt', `note ${hostile}`],
      [`one ${hostile}`, `${hostile}.png`, `{{${hostile}}}`, ''],
      ['two', 'pictures/p.png', 'fine', ''],
    ]);
    const ends = await Promise.all([
      rig.run(['run', file, ...small]),
      rig.run(['check', file, '--json']),
      rig.run(['check', file, '--size', hostile]),
      rig.run([hostile]),
    ]);
    for (const { code, stdout, stderr } of ends) {
      expect(code).toBe(2);
      expect(stdout + stderr).not.toMatch(unprintable);
    }
  });
});

const encoded = (text: string, as: string): string =>
  Buffer.from(text)
    .toString(as as BufferEncoding)
    .replace(/=+$/, '');

/** Controls but line ends and tabs, and the marks that turn or hide text. */
// oxlint-disable-next-line no-control-regex
const unprintable = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/;

/** Every key and value of a Redis. */
async function dump(url: string): Promise<string> {
  const redis = new Redis(url);
  try {
    const names = await redis.keys('*');
    const values = await Promise.all(names.map((name) => redis.dumpBuffer(name)));
    return [...names, ...values.map((value) => value?.toString('latin1') ?? '')].join('\n');
  } finally {
    redis.disconnect();
  }
}
