import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createRig, prompts, small, steady, type Rig } from '../fixtures/rig.ts';

/** What the API has against an account, whatever it sends. */
const grudges: Record<string, number> = { b: 401, c: 402, d: 403 };
const answerMs = 150;
const windowMs = 1000;

/** An account's calls: when each came, and when the first was answered. */
interface Seen {
  came: number[];
  answered?: number;
}

let rig: Rig;
let api: Server;
let seen: Map<string, Seen>;

/** Stands before the simulator and refuses some accounts. */
beforeEach(async () => {
  const except = { I3: 'a server before the simulator refuses some calls itself' };
  rig = await createRig({ windowMs, limit: 6, latency: steady(200), except });
  seen = new Map();
  const { port } = new URL(rig.simulator.url);
  api = createServer((incoming, answer) => {
    const account = /sk_live_(\w+)/.exec(incoming.headers.authorization ?? '')?.[1] ?? '';
    const calls = seen.get(account) ?? { came: [] };
    seen.set(account, calls);
    calls.came.push(performance.now());
    const status = grudges[account];
    const { method, url: path, headers } = incoming;
    if (status === undefined) {
      const onward = request({ port, host: '127.0.0.1', method, path, headers }, (reply) => {
        answer.writeHead(reply.statusCode ?? 500, reply.headers);
        reply.pipe(answer);
      });
      incoming.pipe(onward);
      return;
    }
    incoming.resume().once('end', () =>
      setTimeout(() => {
        calls.answered ??= performance.now();
        const said = JSON.stringify({ code: status, message: 'no', data: null });
        answer.writeHead(status, { 'content-type': 'application/json' }).end(said);
      }, answerMs),
    );
  }).listen(0, '127.0.0.1');
  await once(api, 'listening');
});
afterEach(async () => {
  await rig.close();
  api.closeAllConnections();
  api.close();
});

it('F45, F46: that is refused is parked alone, others go on; where none is left the next run tries each once', async () => {
  const file = await rig.manifest(prompts(12));
  const run = (...accounts: string[]) =>
    rig.run(
      ['run', file, ...small, '--force'],
      {},
      {
        SPIDERHUBS_BASE_URL: `http://127.0.0.1:${(api.address() as AddressInfo).port}`,
        SPIDERHUBS_API_KEY: '',
        SPIDERHUBS_API_KEYS: accounts.map((name) => `${name}=sk_live_${name}`).join(','),
      },
    );
  const statuses = async (): Promise<string[]> => [
    ...new Set((await rig.results()).map(({ status }) => status)),
  ];
  expect(await run('a', 'b', 'c', 'd')).toMatchObject({ code: 0 });
  expect(await statuses()).toEqual(['succeeded']);
  expect((await rig.summary()).credits).toEqual({ charged: 12, unknown: 0 });
  for (const name of ['b', 'c', 'd']) {
    const { came = [], answered = 0 } = seen.get(name) ?? {};
    expect(came.length).toBeGreaterThan(0);
    // Those that were out already, or had their slot; ten windows later it is tried again.
    const after = came.filter((at) => at > answered + 150 && at < answered + 10 * windowMs - 150);
    expect(after).toEqual([]);
  }

  seen.clear();
  const stopped = await run('b', 'c', 'd');
  expect(stopped).toMatchObject({ code: 7, stdout: expect.stringContaining('To go on:') });
  for (const why of ['(401)', '(402)', '(403)']) expect(stopped.stdout).toContain(why);
  expect([...seen.values()].map((calls) => calls.came.length)).toEqual([1, 1, 1]);
  expect(await statuses()).toEqual(['not_attempted']);
  expect((await rig.summary()).credits).toEqual({ charged: 0, unknown: 0 });
});

it('of the same name twice is one, with one limit', async () => {
  const file = await rig.manifest(prompts(13));
  const keys = { SPIDERHUBS_API_KEY: '', SPIDERHUBS_API_KEYS: 'a=sk_live_a-1,a=sk_live_a-2' };
  expect(await rig.run(['run', file, ...small], {}, keys)).toMatchObject({ code: 0 });
  expect(new Set(rig.simulator.calls.map(({ account }) => account))).toEqual(new Set(['a']));
  // Two limits would send the second six at once with the first; a busy machine may deliver one too early.
  expect(rig.simulator.calls.filter(({ status }) => status === 429).length).toBeLessThan(4);
});
