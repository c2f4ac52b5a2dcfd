import { readdirSync, readFileSync } from 'node:fs';

/** A process, as Linux' /proc last told of it. */
export interface Seen {
  /** The program and its script, shortened. */
  name: string;
  /** User and system time. */
  cpuMs: number;
  /** Its peak in memory by the kernel's own mark (VmHWM); MB of 10^6 bytes. */
  peakMb: number;
}

/** Looks at a process and all its descendants now and then. */
export interface Watch {
  /** The most they had at one moment together, and each of them, the largest first. */
  stop(): { peakMb: number; processes: Seen[] };
}

const tickMs = 10;

/** Leaves out the process itself, which is the shell around a command. */
export function watchTree(root: number, everyMs: number): Watch {
  const seen = new Map<number, Seen>();
  let peakMb = 0;
  const look = (): void => {
    let together = 0;
    for (const { pid, ticks } of descendantsOf(root)) {
      const status = read(`/proc/${pid}/status`);
      if (status === undefined) continue;
      together += megabytes(status, 'VmRSS');
      // A process that has just ended has no name and no memory any more.
      const before = seen.get(pid);
      seen.set(pid, {
        name: nameOf(pid) || (before?.name ?? ''),
        cpuMs: ticks * tickMs,
        peakMb: Math.max(before?.peakMb ?? 0, megabytes(status, 'VmHWM')),
      });
    }
    peakMb = Math.max(peakMb, together);
  };
  const timer = setInterval(look, everyMs);
  return {
    stop() {
      clearInterval(timer);
      return { peakMb, processes: [...seen.values()].sort((a, b) => b.peakMb - a.peakMb) };
    },
  };
}

interface Stat {
  pid: number;
  parent: number;
  ticks: number;
}

function descendantsOf(root: number): Stat[] {
  const all = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? (statOf(name) ?? []) : []));
  const found: Stat[] = [];
  for (let wave = [root]; wave.length > 0;) {
    const children = all.filter(({ parent }) => wave.includes(parent));
    found.push(...children);
    wave = children.map(({ pid }) => pid);
  }
  return found;
}

function statOf(pid: string): Stat | undefined {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name before it may hold blanks and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { pid: Number(pid), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) };
}

function nameOf(pid: number): string {
  const words = (read(`/proc/${pid}/cmdline`) ?? '').split('\0').filter((word) => !word.startsWith('-'));
  return words
    .slice(0, 2)
    .map((word) => word.split('/').at(-1))
    .join(' ')
    .slice(0, 40);
}

function megabytes(status: string, field: string): number {
  return (Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024) / 1e6;
}

/** Undefined: the process has ended meanwhile. */
function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
