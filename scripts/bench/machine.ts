import { execFileSync } from 'node:child_process';
import { arch, cpus, loadavg, release, totalmem } from 'node:os';

/** What figures were measured on, and when. */
export interface Circumstances {
  /** A date, UTC. */
  date: string;
  machine: string;
  /** Processes that wanted a core, on average over the minute before. */
  load: number;
}

export function circumstances(): Circumstances {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: [
      `${cpus().length} cores of ${cpu?.model ?? 'an unknown CPU'}`,
      `${Math.round(totalmem() / 2 ** 30)} GiB`,
      `Linux ${release().split('-')[0]} ${arch()}`,
      `Node ${process.versions.node}`,
      ...['redis-server', 'curl', 'parallel'].map(versionOf),
    ].join(', '),
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
  };
}

/** The beginning of what the program says of itself. */
function versionOf(program: string): string {
  const [line = ''] = execFileSync(program, ['--version'], { encoding: 'utf8' }).split('\n');
  return `${program} ${/\d[\w.]*/.exec(line)?.[0] ?? line}`;
}
