import { hash } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openOutput, type Output } from '../../src/batch/output.ts';
import type { JobResult } from '../../src/queue/worker.ts';
import type { Call } from '../../src/records/call.ts';
import { fingerprint } from '../../src/records/fingerprint.ts';
import { planLine, type PlannedRow } from '../../src/records/runs.ts';
import { callOf, endings, picture } from '../fixtures/call.ts';
import { paperDesks, type PaperDesks } from '../fixtures/paper-desks.ts';
import { createPaperEditor } from '../fixtures/paper-process.ts';
import { rowOf } from '../fixtures/row.ts';

/** Two rows that ask for the same. */
const rows = [1, 2].map((row) =>
  rowOf(row, {
    output: `${row}.{ext}`,
    pictures: [{ kind: 'url', url: 'https://shop.example/a.jpg' }],
  }),
);
const origin = 'https://api.example';

let out: string;
let output: Output;
let desks: PaperDesks;
/** Whose calls were sent, in order. */
let sent: string[];
/** Calls whose credits were booked. */
let settled: string[];
beforeEach(async () => {
  out = await mkdtemp(join(tmpdir(), 'reshoot-asleep-'));
  output = await openOutput(out);
  desks = paperDesks();
  [sent, settled] = [[], []];
  await output.runs.writePlan(
    'r1',
    rows.map((row) => planLine(row).text),
  );
  await output.runs.write({
    v: 1,
    run: 'r1',
    manifest: 'goods.csv',
    origin,
    started_at: '2026-11-01T10:00:00.000Z',
    plan: 'r1',
    rows: 2,
    columns: [],
    max_attempts: 4,
    retry_budget: 10,
    timeout_ms: 1000,
    force: false,
  });
});
afterEach(() => rm(out, { recursive: true, force: true }));

/** A process that falls asleep where it takes a slot, asks whether it still holds it, or tells what became of its call. */
function createProcess(at?: 'take' | 'holds' | 'settle'): {
  work: (row: number) => Promise<JobResult>;
  asleep: Promise<void>;
  wake: () => void;
} {
  let [fall, wake] = [(): void => undefined, (): void => undefined];
  const asleep = new Promise<void>((resolve) => (fall = resolve));
  const awake = new Promise<void>((resolve) => (wake = resolve));
  const nap = async (where: typeof at): Promise<void> => {
    if (where !== at) return;
    fall();
    await awake;
  };
  let sender = '';
  const edit = createPaperEditor({
    origin,
    desks,
    async before(what, call) {
      if (what === 'settle') settled.push(call);
      await nap(what);
      if (what === 'holds') sender = call;
    },
    async edit({ part }) {
      sent.push(sender);
      await writeFile(part, sender, { flag: 'wx' });
      return { status: 200, bytes: sender.length, sha256: hash('sha256', sender), ms: 1 };
    },
  });
  const work = async (number: number): Promise<JobResult> => {
    const { place } = (await planned()).find((row) => row.place.row === number)!;
    const job = { kind: 'row', run: 'r1', place } as const;
    return edit(job as never, output, { losses: 0, signal: new AbortController().signal });
  };
  return { work, asleep, wake: () => wake() };
}

async function planned(): Promise<PlannedRow[]> {
  const all: PlannedRow[] = [];
  for await (const some of output.runs.plan('r1')) all.push(...some);
  return all;
}

/** Row 1 in the hands of a process that sleeps, and settled by another one that knows nothing of that. */
async function overtaken(
  at: 'take' | 'holds',
): Promise<ReturnType<typeof createProcess> & { ended: Promise<JobResult> }> {
  const first = createProcess(at);
  const ended = first.work(1);
  await first.asleep;
  await desks.desk.settle('r1', 1, 'failed');
  return { ...first, ended };
}

it.each(['take', 'holds'] as const)(
  'a row whose process slept (%s) while another row took the same on is not sent',
  async (at) => {
    const first = await overtaken(at);
    expect(await createProcess().work(2)).toEqual({ is: 'done' });
    first.wake();
    expect(await first.ended).toEqual({ is: 'done' });
    expect(sent).toHaveLength(1);
    const [last] = (await output.calls.story('id 1')).slice(-1);
    expect(last).toMatchObject({ paid_by: { id: 'id 2', n: 1 }, closed: { charged: 'no' } });
  },
);

it('of two rows that both took the same on, since one was asleep, only one is sent', async () => {
  const first = await overtaken('take');
  const second = createProcess('take');
  const ended = second.work(2);
  await second.asleep;
  first.wake();
  second.wake();
  await Promise.all([first.ended, ended]);
  expect(sent).toHaveLength(1);
});

it('a row whose earlier call was taken for lost is not sent where that has brought the picture meanwhile', async () => {
  const { pictures, prompt, size, ratio } = rows[0]!;
  const sources = pictures as Call['sources'];
  const slept = callOf({
    run: 'r1',
    id: 'id 1',
    n: 1,
    origin,
    sources,
    fingerprint: fingerprint(origin, { prompt, size, ratio }, sources),
  });
  await output.calls.open(slept);
  const next = createProcess('holds');
  const ended = next.work(1);
  await next.asleep;
  const brought = { ...picture, output: '1.jpg', sha256: hash('sha256', 'late') };
  await output.calls.close(slept, { ...endings.picture, picture: brought });
  await writeFile(join(out, brought.output), 'late');
  next.wake();
  expect(await ended).toEqual({ is: 'done' });
  expect(sent).toEqual([]);
  const [first, second] = await output.calls.story('id 1');
  expect(first?.closed).toMatchObject({ charged: 'yes' });
  expect(second?.closed).toMatchObject({ outcome: 'not_sent', charged: 'no' });
});

it("a picture of a run that is over doesn't take the place of a newer one", async () => {
  const slow = createProcess('settle');
  const ended = slow.work(1);
  await slow.asleep;
  const newer = { ...picture, output: '1.jpg', sha256: hash('sha256', 'newer') };
  await writeFile(join(out, newer.output), 'newer');
  await output.calls.open(
    callOf({ run: 'r2', id: 'id 1', n: 2, closed: { ...endings.picture, picture: newer } }),
  );
  await output.runs.writeEnd('r1', { summary: {} });
  slow.wake();
  expect(await ended).toMatchObject({ is: 'handed back' });
  expect(await createProcess().work(1)).toEqual({ is: 'done' });
  expect(await readFile(join(out, newer.output), 'utf8')).toBe('newer');
});

it('the credit of a slot for a call that another has made and ended is booked', async () => {
  const slow = createProcess('take');
  const ended = slow.work(1);
  await slow.asleep;
  expect(await createProcess().work(1)).toEqual({ is: 'done' });
  const before = settled.length;
  slow.wake();
  expect(await ended).toMatchObject({ is: 'handed back' });
  expect(sent).toHaveLength(1);
  expect(settled.slice(before)).toEqual(sent);
});

it('a call that was given up before a byte left is on record as not sent', async () => {
  const { contents } = output;
  let asked = 0;
  const takers: typeof contents.takers = async (paid) => {
    // Taken on, seen again once the pictures are read, and then right before the call is sent.
    if ((asked += 1) > 2) throw new Error('the disk is gone');
    return contents.takers(paid);
  };
  output = { ...output, contents: { ...contents, takers } };
  await expect(createProcess().work(1)).rejects.toThrow('the disk is gone');
  expect(sent).toEqual([]);
  const [call] = await output.calls.story('id 1');
  expect(call?.closed).toMatchObject({ outcome: 'not_sent', charged: 'no' });
});
