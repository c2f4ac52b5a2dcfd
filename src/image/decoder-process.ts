import { fork, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { SurroundingsError } from '../errors.ts';
import type { Request, Verdict } from './decode.ts';
import type { Fit, Refusal } from './needs.ts';
import type { Inspected, Prepared, PrepareOrder, Subject } from './prepare.ts';
import type { Original, Shrunk } from './shrink.ts';

/** A running helper process. */
export interface DecoderProcess {
  pid: number;
  /** One file at a time: its verdict, or that the process died over it, or was ended after `deadlineMs`. */
  judge(file: string, deadlineMs: number): Promise<Verdict | 'died' | 'late'>;
  /** Likewise one picture at a time: its thumbnail. */
  shrink(original: Original, deadlineMs: number): Promise<Shrunk | 'died' | 'late'>;
  /** Likewise the headers of some pictures. */
  inspect(subjects: Subject[], fit: Fit, deadlineMs: number): Promise<Inspected[] | 'died' | 'late'>;
  /** Likewise one picture: what is to be sent of it. */
  prepare(order: PrepareOrder, deadlineMs: number): Promise<Prepared | Refusal | 'died' | 'late'>;
  alive(): boolean;
  /** Ends it and resolves when it is gone. */
  stop(): Promise<void>;
}

const startDeadlineMs = 30_000;
const isSource = import.meta.url.endsWith('.ts');
const helper = new URL(`../../workers/decode${isSource ? '.ts' : '.js'}`, import.meta.url);

/**
 * Starts the helper process that decodes pictures.
 * @throws SurroundingsError when it does not come up
 */
export async function startDecoderProcess(): Promise<DecoderProcess> {
  const child = forkHelper();
  // A message to a process that just died is an 'error', which nobody would hear while it is idle.
  child.on('error', () => {});
  const first = await answer(child, startDeadlineMs);
  if (first !== 'ready' || child.pid === undefined) {
    throw new SurroundingsError(
      'the helper that decodes pictures does not start: is there memory left, and was `npm ci` run on this machine?',
    );
  }
  // An idle helper keeps no command alive; while it works its deadline does.
  child.unref();
  child.channel?.unref();
  const ask = <Reply>(request: Request, deadlineMs: number): Promise<Reply | 'died' | 'late'> => {
    child.send(request);
    return answer(child, deadlineMs) as Promise<Reply | 'died' | 'late'>;
  };
  return {
    pid: child.pid,
    judge: (file, deadlineMs) => ask<Verdict>({ judge: file }, deadlineMs),
    shrink: (original, deadlineMs) => ask<Shrunk>({ shrink: original }, deadlineMs),
    inspect: (subjects, fit, deadlineMs) => ask<Inspected[]>({ inspect: subjects, fit }, deadlineMs),
    prepare: (order, deadlineMs) => ask<Prepared | Refusal>({ prepare: order }, deadlineMs),
    alive: () => isAlive(child),
    stop: () => stop(child),
  };
}

/** Detached, so that Ctrl-C does not end it while calls in flight are awaited; it goes when its parent does. */
function forkHelper(): ChildProcess {
  return fork(helper, {
    cwd: fileURLToPath(new URL('../../', import.meta.url)),
    detached: true,
    env: { MALLOC_ARENA_MAX: '2' },
    execArgv: isSource ? ['--import', 'tsx'] : [],
    // Bytes go as bytes, not as text.
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
}

/** The child's next message, or how it failed to send one; a late child is killed. */
function answer(child: ChildProcess, deadlineMs: number): Promise<unknown> {
  return new Promise((resolve) => {
    const settle = (value: unknown): void => {
      clearTimeout(timer);
      child.off('message', settle).off('exit', died).off('error', died);
      resolve(value);
    };
    const died = (): void => settle('died');
    const late = (): void => {
      child.kill('SIGKILL');
      settle('late');
    };
    const timer = setTimeout(late, deadlineMs);
    child.on('message', settle).on('exit', died).on('error', died);
  });
}

const isAlive = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null;

async function stop(child: ChildProcess): Promise<void> {
  if (!isAlive(child)) return;
  child.ref();
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await gone;
}
