import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { openDesks } from '../../src/batch/desks.ts';
import { lookAt } from '../../src/batch/look.ts';
import type { RunView } from '../../src/batch/view.ts';
import { readConfig } from '../../src/config.ts';
import { createLog } from '../../src/log.ts';
import { startRedis } from '../fixtures/redis.ts';
import { createRig, prompts, small, steady, until, type Rig } from '../fixtures/rig.ts';

let rig: Rig;
afterEach(() => rig.close());

it('tells a quarter and three quarters of its time through a real run how long it still takes, within a tenth', async () => {
  const redis = await startRedis();
  rig = await createRig({
    redisUrl: redis.url,
    limit: 10,
    windowMs: 8000,
    latency: steady(1500),
  });
  const rows = 30;
  // In so short a window a moment's delay would bring refusals.
  const guardMs = 200;
  const config = {
    ...readConfig({ REDIS_URL: redis.url, SPIDERHUBS_BASE_URL: rig.simulator.url, SPIDERHUBS_API_KEY: 'k' }),
    rateLimit: 10,
    rateWindowMs: 8000,
  };
  const desks = await openDesks(config, createLog('silent'));
  try {
    const run = rig.start(['run', await rig.manifest(prompts(rows)), ...small], { guardMs });
    await until(async () => (await desks.desk.runs()).length === 1);
    const [on] = await desks.desk.runs();
    if (!on) throw new Error('no run');
    const said: { at: number; leftMs: number }[] = [];
    const startedAt = performance.now();
    let doneAt = 0;
    for (let view: RunView; doneAt === 0; await sleep(50)) {
      view = await lookAt(desks, config, on);
      const at = performance.now();
      const done = view.settled.succeeded;
      if (view.leftMs !== undefined) said.push({ at, leftMs: view.leftMs });
      if (done === rows || !(await desks.desk.has(on.run))) doneAt = at;
    }
    expect(await run.ended).toMatchObject({ code: 0 });
    for (const share of [0.25, 0.75]) {
      const { at, leftMs } = said.find((one) => one.at >= startedAt + share * (doneAt - startedAt)) ?? {
        at: 0,
        leftMs: 0,
      };
      const left = doneAt - at;
      expect(Math.abs(leftMs - left) / left, `at ${share}: ${leftMs} of ${left}`).toBeLessThan(0.1);
    }
  } finally {
    await desks.leave();
    await redis.close();
  }
});
