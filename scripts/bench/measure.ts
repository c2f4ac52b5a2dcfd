import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { watchTree, type Seen } from './proc.ts';

/** A program with its arguments. */
export interface Command {
  args: string[];
  /** Beside PATH and HOME. */
  env: Record<string, string>;
  /** Its output goes to `log` there. */
  cwd: string;
}

/** A command under way. */
export interface Started {
  /** Epoch milliseconds with a fraction. */
  at: number;
  /** Every process that it starts is in this process' group, unless it leaves it. */
  pid: number;
  ended: Promise<{ code: number | null }>;
}

/** What a command took, all of its processes included. */
export interface Usage {
  /** Null: it was stopped after `timeoutMs`. */
  code: number | null;
  startedAt: number;
  /** From its start to its end. */
  ms: number;
  /** User and system time of all processes that ended and were waited for, as the kernel counts it. */
  cpuMs: number;
  /** The most that its processes together had in memory at one moment, shared pages counted in each; MB of 10^6 bytes. */
  peakMb: number;
  /** The processes that had most, at their own peak. */
  processes: Seen[];
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

/** Starts a command in a group of its own. */
export async function start({ args, env, cwd }: Command): Promise<Started> {
  const [program = '', ...rest] = args;
  await mkdir(join(cwd, 'out'), { recursive: true });
  const log = createWriteStream(join(cwd, 'log'));
  await once(log, 'open');
  const at = now();
  const child = spawn(program, rest, {
    cwd,
    detached: true,
    stdio: ['ignore', log, log],
    env: { PATH: process.env['PATH'], HOME: cwd, ...env },
  });
  const ended = once(child, 'exit').then(([code]: (number | null)[]) => ({ code: code ?? null }));
  await once(child, 'spawn');
  log.close();
  return { at, pid: child.pid ?? 0, ended };
}

/** Ends all processes of a command that still run. */
export function kill({ pid }: Started): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // They have ended by themselves.
  }
}

/** Runs a command to its end, or for `timeoutMs`. The shell around it adds about 3 ms. */
export async function measure(
  command: Command,
  { timeoutMs, everyMs }: { timeoutMs: number; everyMs: number },
): Promise<Usage> {
  const times = join(command.cwd, 'times');
  const shell = ['bash', '-c', '"$@"; code=$?; times >"$0"; exit "$code"', times];
  const started = await start({ ...command, args: [...shell, ...command.args] });
  const watch = watchTree(started.pid, everyMs);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    kill(started);
  }, timeoutMs);
  const { code } = await started.ended;
  const ms = now() - started.at;
  clearTimeout(timer);
  const { peakMb, processes } = watch.stop();
  const cpuMs = late ? processes.reduce((sum, seen) => sum + seen.cpuMs, 0) : await readTimes(times);
  kill(started);
  return {
    code: late ? null : code,
    startedAt: started.at,
    ms,
    cpuMs,
    peakMb,
    processes: processes.slice(0, 3),
  };
}

/** The second line of the shell's `times`: user and system time of its children, and of theirs. */
async function readTimes(file: string): Promise<number> {
  const [, children = ''] = (await readFile(file, 'utf8')).split('\n');
  const spent = [...children.matchAll(/(\d+)m([\d.]+)s/g)];
  return spent.reduce(
    (sum, [, minutes, seconds]) => sum + Number(minutes) * 60_000 + Number(seconds) * 1000,
    0,
  );
}
