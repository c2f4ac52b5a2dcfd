import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';

/** What keeps a system awake while a child of it lives; `cat` lives as long as its input, so as long as we do. */
const keepers = {
  darwin: { program: 'caffeinate', args: ['-i', 'cat'] },
  linux: {
    program: 'systemd-inhibit',
    args: ['--what=idle:sleep', '--who=reshoot', '--why=a run is on', '--mode=block', 'cat'],
  },
} as const;

/** A program that has not begun to keep the system awake by then never will: it waits for a password or a bus. */
const patienceMs = 2000;

export interface Awake {
  /** The program that keeps the computer awake; undefined: nothing does. */
  how: 'caffeinate' | 'systemd-inhibit' | undefined;
  /** The computer may sleep again; once more does nothing. */
  release(): void;
}

/**
 * Keeps the computer from falling asleep until released, or until this process ends, however it ends. Never fails:
 * where it can't be done, `how` says so.
 * @param searchPath the folders of programs
 */
export async function keepAwake(
  searchPath: string,
  platform: NodeJS.Platform = process.platform,
): Promise<Awake> {
  const nothing: Awake = { how: undefined, release: () => undefined };
  const keeper = platform === 'darwin' || platform === 'linux' ? keepers[platform] : undefined;
  if (!keeper) return nothing;
  // A group of its own, or Ctrl-C would end it before the calls in flight are finished. Our environment holds the key.
  const child = spawn(keeper.program, keeper.args, {
    detached: true,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { PATH: searchPath },
  });
  if (!(await echoes(child))) {
    end(child);
    return nothing;
  }
  child.unref();
  child.stdout.destroy();
  (child.stdin as Socket).unref();
  return { how: keeper.program, release: () => void child.stdin.end() };
}

/** Does what we write come back? The `cat` is started only once the system has promised to stay awake. */
function echoes(child: ChildProcess): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), patienceMs);
    const say = (answer: boolean): void => {
      clearTimeout(timer);
      resolve(answer);
    };
    child.once('error', () => say(false));
    child.once('exit', () => say(false));
    child.stdout?.once('data', () => say(true));
    // It may end before it reads.
    child.stdin?.on('error', () => undefined);
    child.stdin?.write('\n');
  });
}

/** Whatever it was: all of it. */
function end(child: ChildProcess): void {
  child.unref();
  child.stdin?.destroy();
  child.stdout?.destroy();
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
