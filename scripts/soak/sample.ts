import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';

/** What a process holds, as Linux sees it. */
export async function sampleProcess(pid: number): Promise<Record<string, number>> {
  const own = await memoryOf(pid);
  const handles = await handlesOf(pid);
  const helpers = await Promise.all((await childrenOf(pid)).map(memoryOf));
  return {
    rss_mb: own['VmRSS'] ?? 0,
    peak_mb: own['VmHWM'] ?? 0,
    pss_mb: own['Pss'] ?? 0,
    threads: own['Threads'] ?? 0,
    files: handles.length,
    sockets: handles.filter((name) => name.startsWith('socket:')).length,
    helpers: helpers.length,
    // Those of a report come and go: the mean says what each holds.
    helper_mb: helpers.reduce((sum, helper) => sum + (helper['VmRSS'] ?? 0), 0) / Math.max(1, helpers.length),
  };
}

/** Numbers of `status` and `smaps_rollup`; kilobytes as MB. A process that is just gone has none. */
async function memoryOf(pid: number): Promise<Record<string, number>> {
  const texts = ['status', 'smaps_rollup'].map((file) =>
    readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => ''),
  );
  const lines = (await Promise.all(texts)).join('\n').matchAll(/^(\w+):\s+(\d+)( kB)?$/gm);
  return Object.fromEntries(
    [...lines].map(([, name = '', value, kb]) => [name, kb ? Number(value) / 1024 : Number(value)]),
  );
}

/** What its open files are; one that was closed meanwhile is left out. */
async function handlesOf(pid: number): Promise<string[]> {
  const names = await readdir(`/proc/${pid}/fd`);
  const targets = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => '')));
  return targets.filter((target) => target !== '');
}

/** Its helper processes, by id. */
export async function childrenOf(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const lists = tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8').catch(() => ''));
  return (await Promise.all(lists)).join(' ').split(' ').filter(Boolean).map(Number);
}

/** Answers on their way, in all outputs below the folder. */
export async function sampleSpool(dir: string): Promise<number> {
  const lists = (await readdir(dir)).map((name) =>
    readdir(join(dir, name, '.reshoot/spool')).catch(() => []),
  );
  return (await Promise.all(lists)).flat().length;
}
