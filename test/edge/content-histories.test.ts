import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import * as fc from 'fast-check';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EditRequest } from '../../src/api/client.ts';
import { lookBefore } from '../../src/batch/before.ts';
import { checkManifest, type CheckOptions } from '../../src/batch/check.ts';
import { createDraft } from '../../src/batch/draft.ts';
import { createFeeder } from '../../src/batch/feed.ts';
import { judgedRows } from '../../src/batch/finish.ts';
import { asideName, outputName, spoolFiles } from '../../src/batch/keep.ts';
import { openOutput, type Output } from '../../src/batch/output.ts';
import { planRun, type PlanOrder } from '../../src/batch/plan.ts';
import { steps, type Step } from '../../src/batch/steps.ts';
import { createLog } from '../../src/log.ts';
import type { Row } from '../../src/model.ts';
import { isCopy, type Call } from '../../src/records/call.ts';
import { fingerprint } from '../../src/records/fingerprint.ts';
import { manifestDefaults } from '../fixtures/manifest.ts';
import { paperDesks } from '../fixtures/paper-desks.ts';
import { createPaperEditor } from '../fixtures/paper-process.ts';

/** Histories that are tried. A failure names its seed, which `FC_SEED` plays again. */
const numRuns = Number(process.env['FC_RUNS'] ?? 15);
const seed = process.env['FC_SEED'];

const origin = 'https://api.example';
const log = createLog('silent');
const files = ['a.png', 'b.png', 'c.png'];

/** Of few pictures and prompts, so that many rows ask for the same. */
interface Asked {
  id: string;
  file: number;
  prompt: number;
}

type Event =
  | { is: 'run'; workers: number; order: number; kill: { at: Step; time: number } | undefined }
  | { is: 'new row'; file: number; prompt: number }
  | { is: 'new id' | 'row removed' | 'moved to the end' | 'output deleted' | 'output altered'; row: number }
  | { is: 'prompt edited'; row: number; prompt: number }
  | { is: 'pictures swapped' | 'left outputs deleted' };

const index = fc.nat(9);
const few = fc.nat(1);
const run = fc.record({
  is: fc.constant('run' as const),
  workers: fc.integer({ min: 1, max: 4 }),
  order: fc.nat(6),
  kill: fc.option(fc.record({ at: fc.constantFrom(...steps), time: fc.integer({ min: 1, max: 3 }) }), {
    nil: undefined,
  }),
});
const event: fc.Arbitrary<Event> = fc.oneof(
  { weight: 6, arbitrary: run },
  { weight: 3, arbitrary: fc.record({ is: fc.constant('new row' as const), file: fc.nat(2), prompt: few }) },
  {
    weight: 5,
    arbitrary: fc.record({
      is: fc.constantFrom(
        'new id' as const,
        'row removed' as const,
        'moved to the end' as const,
        'output deleted' as const,
        'output altered' as const,
      ),
      row: index,
    }),
  },
  { weight: 3, arbitrary: fc.record({ is: fc.constant('prompt edited' as const), row: index, prompt: few }) },
  fc.record({ is: fc.constantFrom('pictures swapped' as const, 'left outputs deleted' as const) }),
);
const histories = fc.record({
  rows: fc.array(fc.record({ file: fc.nat(2), prompt: few }), { minLength: 1, maxLength: 6 }),
  events: fc.array(event, { minLength: 1, maxLength: 9 }),
});

type History = typeof histories extends fc.Arbitrary<infer T> ? T : never;

let root: string;
beforeAll(async () => {
  // Every record is made durable, which a disk takes its time for.
  root = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'reshoot-histories-'));
  await mkdir(join(root, 'pictures'));
  // The third is the first under another name.
  for (const [i, background] of ['#a33', '#3a3', '#a33'].entries()) {
    const picture = sharp({ create: { width: 8, height: 8, channels: 3, background } });
    await picture.png().toFile(join(root, 'pictures', files[i]!));
  }
});
afterAll(() => rm(root, { recursive: true, force: true }));

const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex');
const contentOf = async (file: string): Promise<string | undefined> =>
  existsSync(file) ? sha256(await readFile(file)) : undefined;

/** A folder with pictures, a manifest that changes, an output, and an API that counts. */
async function openWorld(dir: string) {
  await cp(join(root, 'pictures'), join(dir, 'pictures'), { recursive: true, preserveTimestamps: true });
  const manifest = join(dir, 'goods.jsonl');
  const out = join(dir, 'out');
  const output = await openOutput(out);
  /** Fingerprints in the order in which the API was asked for them. */
  const asked: string[] = [];
  let pictures = 0;

  const stories = async (): Promise<Call[]> => {
    const all: Call[] = [];
    for await (const { calls } of (await output.calls.stories()).all()) all.push(...calls);
    return all;
  };

  const paidOf = async (row: Row): Promise<string> => {
    const [picture] = row.pictures;
    const content = await contentOf(picture?.kind === 'file' ? picture.path : '');
    return fingerprint(origin, row, [{ ...picture, kind: 'file', sha256: content } as never]);
  };

  /** Has the row its picture, or can it have one that is paid for and still there? */
  const isPaid = async (row: Row, paid: string, calls: Call[]): Promise<boolean> => {
    const name = outputName(row, 'jpg');
    const takers = new Set((await output.contents.takers(paid)).map(({ id }) => id));
    for (const call of calls.filter((call) => call.fingerprint === paid)) {
      // A copy is known to its own row, and where it is the first of its run.
      if (isCopy(call) && call.id !== row.id && !takers.has(call.id)) continue;
      if (existsSync(spoolFiles(output.storage, call).bin)) return true;
      const picture = call.closed?.picture;
      if (!picture) continue;
      for (const place of [name, picture.output, asideName(picture)])
        if ((await contentOf(join(out, place))) === picture.sha256) return true;
      // What its user made of it since is theirs.
      const gaveWay = existsSync(join(out, asideName(picture)));
      const content = await contentOf(join(out, name));
      const isAnother = calls.some(
        ({ id, closed }) =>
          id === row.id && closed?.picture?.output === name && closed.picture.sha256 === content,
      );
      if (call.id === row.id && name === picture.output && !gaveWay && content && !isAnother) return true;
    }
    return false;
  };

  /** Runs the manifest as a process would that may die on its way. @returns did it come to its end? */
  const go = async ({ workers, order, kill }: Extract<Event, { is: 'run' }>): Promise<boolean> => {
    let times = 0;
    const state = { dead: false, isOver: false };
    const onStep = (step: Step): void => {
      if (step === kill?.at && ++times === kill.time) state.dead = true;
      if (state.dead) throw new Error('killed');
    };
    const desks = paperDesks();
    const edit = createPaperEditor({
      origin,
      desks,
      async before(what) {
        if (what !== 'take') return;
        if (state.dead) throw new Error('killed');
        await turn();
      },
      async edit(request) {
        request.beforeSend?.();
        asked.push(await current(request));
        request.onBegin?.();
        await turn();
        await request.beforeEnd?.();
        for (let i = 0; i < order; i++) await turn();
        if (state.dead) throw new Error('killed');
        const bytes = `picture ${(pictures += 1)}`;
        await writeFile(request.part, bytes, { flag: 'wx' });
        return { status: 200, bytes: bytes.length, sha256: sha256(bytes), ms: 1 };
      },
      onStep,
    });
    const options: PlanOrder & CheckOptions = {
      file: manifest,
      manifest: manifestDefaults,
      pictures: { maxSide: undefined, strict: false },
      maxAttempts: 4,
      maxCredits: undefined,
      retryBudget: 10,
      onUnknown: undefined,
      force: false,
      callsPerWindow: 30,
      windowMs: 60_000,
      origin,
      haltShare: undefined,
      dayCap: undefined,
      timeoutMs: 1000,
      submitted: true,
      stop: new AbortController().signal,
    };
    // As if its pictures had come long ago.
    await utimes(out, 1, 1);
    const seen = await lookBefore(output);
    const draft = createDraft();
    const check = await checkManifest(manifest, options, { target: out, output }, draft);
    expect([...check.findings]).toEqual([]);
    const rows = [...draft.all()];
    const before = await stories();
    const needed = new Set<string>();
    /** Of these some row has its picture, which others get where it comes first. */
    const shared = new Set<string>();
    for (const row of rows) {
      const paid = await paidOf(row);
      const isThere = await isPaid(row, paid, before);
      (isThere ? shared : needed).add(paid);
    }
    const from = asked.length;
    const planned = await planRun({ manifest: check.manifest, draft, before: seen }, output, options, desks);
    const findOutput = async (): Promise<Output> => output;
    const feeder = createFeeder({ ...desks, ahead: 3, findOutput, log });
    // A row that was handed back isn't the next one for ever.
    let picks = order;
    const work = async (): Promise<void> => {
      while (!state.isOver && !state.dead) {
        const [id, job] = [...desks.jobs].at(picks++ % Math.max(1, desks.jobs.size)) ?? [];
        if (id === undefined || !job) {
          await turn();
          continue;
        }
        if (job.kind === 'finish') {
          state.isOver = true;
          return;
        }
        desks.jobs.delete(id);
        desks.taken.add(id);
        const result = await edit(job, output, { losses: 0, signal: new AbortController().signal });
        desks.taken.delete(id);
        if (result.is !== 'done') desks.jobs.set(id, job);
      }
    };
    const feed = async (): Promise<void> => {
      while (!state.isOver && !state.dead) await feeder.feed().then(() => turn());
    };
    const ends = await Promise.allSettled([feed(), ...Array.from({ length: workers }, work)]);
    await feeder.close();
    draft.close();
    check.close();
    const made = asked.slice(from);
    expect(new Set(made).size, 'a fingerprint was sent twice').toBe(made.length);
    expect(made.filter((paid) => !needed.has(paid))).toEqual([]);
    if (state.dead || !planned) return false;
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    expect(made).toHaveLength(new Set(made).size);
    expect([...needed].filter((paid) => !made.includes(paid) && !shared.has(paid))).toEqual([]);
    await expectReport(planned.run, rows);
    await output.calls.reindex((async function* () {})());
    await output.runs.writeEnd(planned.run, { summary: {} });
    return true;
  };

  /** The fingerprint that a request would be paid for. */
  const current = async ({ prompt, size, ratio, pictures }: EditRequest): Promise<string> => {
    const sources = pictures.map((picture) => ({
      kind: 'file' as const,
      sha256: 'bytes' in picture ? sha256(picture.bytes) : '',
    }));
    return fingerprint(origin, { prompt, size, ratio }, sources as never);
  };

  const expectReport = async (run: string, rows: Row[]): Promise<void> => {
    const calls = await stories();
    for await (const { row } of (await judgedRows(output, run, undefined, await output.calls.stories()))()) {
      expect(['succeeded', 'skipped']).toContain(row.status);
      const content = await contentOf(join(out, row.output ?? 'none'));
      expect(content).toBeDefined();
      const paid = await paidOf(row.row);
      const payers = calls.filter(
        (call) => call.fingerprint === paid && call.closed?.picture && !isCopy(call),
      );
      const isOwn = payers.some(({ id }) => id === row.row.id);
      if (row.facts?.sha256 !== content) {
        // Its user altered it: then it is no other picture of ours.
        expect(calls.map((call) => call.closed?.picture?.sha256)).not.toContain(content);
      } else if (!isOwn) {
        expect(payers.map((call) => call.closed?.picture?.sha256)).toContain(content);
        const payer = payers.find((call) => call.closed?.picture?.sha256 === content)?.id;
        expect(row.errorMessage).toContain(`note: row "${payer}" asked for the same`);
      }
    }
    expect(rows.length).toBeGreaterThan(0);
  };

  return { out, output, manifest, asked, go };
}

const whole: Event = { is: 'run', workers: 2, order: 0, kill: undefined };

/** A prompt that was changed and is changed back: its first picture was paid for, and gave way. */
const thereAndBack: History = {
  rows: [{ file: 0, prompt: 0 }],
  events: [
    whole,
    { is: 'prompt edited', row: 0, prompt: 1 },
    whole,
    { is: 'prompt edited', row: 0, prompt: 0 },
  ],
};

/** A row that gets another name twice, and what stands at its old name is thrown away. */
const renamedTwice: History = {
  rows: [{ file: 0, prompt: 0 }],
  events: [whole, { is: 'new id', row: 0 }, whole, { is: 'left outputs deleted' }, { is: 'new id', row: 0 }],
};

/** A row whose user alters its first picture, wants another instead, and then the first again. */
const alteredAndBack: History = {
  rows: [{ file: 0, prompt: 0 }],
  events: [
    whole,
    { is: 'output altered', row: 0 },
    { is: 'prompt edited', row: 0, prompt: 1 },
    whole,
    { is: 'prompt edited', row: 0, prompt: 0 },
  ],
};

let played = 0;

/** @returns how many calls were made */
async function play({ rows: first, events }: History): Promise<number> {
  const dir = join(root, `h${(played += 1)}`);
  const world = await openWorld(dir);
  let ids = 0;
  const newId = (): string => `r${(ids += 1)}`;
  let rows: Asked[] = first.map((row) => ({ id: newId(), ...row }));
  for (const event of [...events, whole, whole]) {
    const at = 'row' in event ? event.row % rows.length : 0;
    const row = rows[at]!;
    const name = join(world.out, `${row.id}.jpg`);
    switch (event.is) {
      case 'run': {
        const lines = rows.map(({ id, file, prompt }) =>
          JSON.stringify({ id, image: `pictures/${files[file]}`, prompt: `prompt ${prompt}` }),
        );
        await writeFile(world.manifest, `${lines.join('\n')}\n`);
        await world.go(event);
        break;
      }
      case 'new row':
        rows.push({ id: newId(), file: event.file, prompt: event.prompt });
        break;
      case 'new id':
        rows[at] = { ...row, id: newId() };
        break;
      case 'row removed':
        if (rows.length > 1) rows = rows.filter((other) => other !== row);
        break;
      case 'moved to the end':
        rows = [...rows.filter((other) => other !== row), row];
        break;
      case 'prompt edited':
        rows[at] = { ...row, prompt: event.prompt };
        break;
      case 'output deleted':
        await rm(name, { force: true });
        break;
      case 'output altered': {
        // Of a row that has it on record: the check says of any other such file that nobody knows it.
        const calls = await world.output.calls.story(row.id);
        const isOwn = calls.some(
          (call) =>
            call.closed?.picture?.output === `${row.id}.jpg` &&
            !existsSync(spoolFiles(world.output.storage, call).bin),
        );
        if (isOwn && existsSync(name)) await writeFile(name, `altered ${Math.random()}`);
        break;
      }
      case 'left outputs deleted': {
        const kept = new Set(rows.map(({ id }) => `${id}.jpg`));
        const there = existsSync(world.out) ? await readdir(world.out) : [];
        const left = there.filter((file) => file.endsWith('.jpg') && !kept.has(file));
        for (const file of left) await rm(join(world.out, file));
        break;
      }
      case 'pictures swapped': {
        const [a, b, c] = ['a.png', 'b.png', 'swap'].map((file) => join(dir, 'pictures', file));
        await rename(a!, c!);
        await rename(b!, a!);
        await rename(c!, b!);
        break;
      }
    }
  }
  await rm(dir, { recursive: true, force: true });
  return world.asked.length;
}

it('a row that is renamed again and again is paid once, though its first picture is gone', async () => {
  expect(await play(renamedTwice)).toBe(1);
});

it("a row is not done while its other prompt's picture stands at its name", async () => {
  expect(await play(alteredAndBack)).toBe(3);
});

it(
  'each fingerprint is paid once, whatever becomes of rows, names and processes',
  async () => {
    const examples: [History][] = [[thereAndBack]];
    await fc.assert(
      fc.asyncProperty(histories, async (history) => void (await play(history))),
      {
        numRuns,
        examples,
        ...(seed && { seed: Number(seed) }),
      },
    );
  },
  60_000 + numRuns * 5000,
);
