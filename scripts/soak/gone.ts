import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes } from '../../src/errors.ts';
import type { Check } from './books.ts';
import { stopped } from './processes.ts';
import { bytesOf, known, sampleRedis, type Key } from './keys.ts';
import { childrenOf, sampleSpool } from './sample.ts';
import type { Stage } from './stage.ts';

/** Helpers see their parent's end, and go. */
const goodbyeMs = 2000;

/** Ends worker and simulator, and looks at what they leave behind. */
export async function checkGone(dir: string, stage: Stage): Promise<{ checks: Check[]; keys: string }> {
  const { worker, simulator, redis } = stage;
  const helpers = await childrenOf(worker.pid);
  const code = await stopped(worker.child);
  await stopped(simulator.child);
  await simulator.ended;
  await sleep(goodbyeMs);
  const living = helpers.filter((pid) => existsSync(`/proc/${pid}`));
  const spool = await sampleSpool(dir);
  const { keys, orphans } = await sampleRedis(redis);
  const strange = keys.filter(({ kind }) => !Object.hasOwn(known, kind)).map(({ kind }) => kind);
  return {
    keys: keyList(keys),
    checks: [
      { says: `the worker ended with ${code}`, holds: code === exitCodes.sigterm },
      { says: `helpers that outlive it: ${living.length} of ${helpers.length}`, holds: living.length === 0 },
      { says: `answers left in the spool: ${spool}`, holds: spool === 0 },
      { says: `keys of runs that are over: ${told(orphans)}`, holds: orphans.length === 0 },
      { says: `keys of an unknown kind: ${told(strange)}`, holds: strange.length === 0 },
    ],
  };
}

const told = (names: string[]): string =>
  `${names.length}${names[0] === undefined ? '' : `, such as ${names[0]}`}`;

function keyList(keys: Key[]): string {
  const kinds = [...new Set(keys.map(({ kind }) => kind))];
  const lines = kinds.map((kind) => {
    const own = keys.filter((key) => key.kind === kind);
    return `  ${kind}: ${own.length}, ${bytesOf(own)} bytes; ${known[kind] ?? 'nobody knows why'}`;
  });
  return lines.join('\n');
}
