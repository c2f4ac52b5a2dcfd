import { readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createState, type State, type User } from '../fixtures/embedded-state.ts';

const onLinux = process.platform === 'linux';
let state: State;
let users: User[];

beforeEach(async () => {
  state = await createState();
  users = await Promise.all(Array.from({ length: 8 }, () => state.user()));
});
afterEach(() => state.close());

const soon = (): number => Date.now() + 15;

/** Looks again and again how many servers there are, until told to stop. @returns the most it saw */
function watchServers(): () => Promise<number> {
  let most = 0;
  const stop = new AbortController();
  const watching = (async () => {
    while (!stop.signal.aborted) {
      most = Math.max(most, (await state.servers()).length);
      await sleep(50);
    }
  })();
  return async () => {
    stop.abort();
    await watching;
    return most;
  };
}

/** Nobody is left, nothing was lost, and the folder holds what a stopped server leaves. */
async function expectWrites(count: number): Promise<void> {
  await Promise.all(users.map((user) => user.end()));
  expect(await state.servers()).toEqual([]);
  expect((await readdir(state.folder)).toSorted()).toEqual(['appendonlydir', 'redis.log', 'server.json']);
  const { redis, leave } = await state.open();
  expect(Number(await redis.get('users'))).toBe(count);
  expect(new Set(await redis.lrange('writes', 0, -1)).size).toBe(count);
  await leave();
}

it.skipIf(!onLinux)(
  'eight commands in the same millisecond, fifty times: one server, nothing lost',
  async () => {
    let together = 0;
    const stop = watchServers();
    for (let round = 0; round < 50; round++) {
      let at = soon();
      const all = await Promise.all(users.map((user) => user.tell({ do: 'open', at })));
      expect(new Set(all.map(({ pid }) => pid)).size).toBe(1);
      expect(await state.servers()).toEqual([all[0]?.pid]);
      const counts = all.map((answer) => answer.users).toSorted((a, b) => a - b);
      expect(counts).toEqual(Array.from({ length: 8 }, (_, i) => round * 8 + i + 1));
      // Did they really meet? The last one began before the first one had a server.
      if (Math.max(...all.map(({ began }) => began)) < Math.min(...all.map(({ reached }) => reached)))
        together++;
      at = soon();
      await Promise.all(users.map((user) => user.tell({ do: 'leave', at })));
      expect(await state.servers()).toEqual([]);
    }
    expect(await stop()).toBe(1);
    expect(together).toBeGreaterThan(40);
    await expectWrites(400);
  },
);

it.skipIf(!onLinux)(
  'the last one out meets others that come in, for a while: nothing fails, nothing is lost',
  async () => {
    const stop = watchServers();
    const servers = new Set<number>();
    const come = async (user: User): Promise<void> => {
      for (let visit = 0; visit < 40; visit++) {
        const at = Date.now() + Math.random() * 40;
        servers.add((await user.tell({ do: 'visit', at })).pid);
      }
    };
    await Promise.all(users.slice(0, 3).map(come));
    expect(await stop()).toBe(1);
    // The stop was met often: many servers came and went, and many were shared.
    expect(servers.size).toBeGreaterThan(10);
    expect(servers.size).toBeLessThan(118);
    await expectWrites(120);
  },
);
