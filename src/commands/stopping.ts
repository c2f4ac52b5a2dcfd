import { exitCodes, type ExitCode } from '../errors.ts';
import type { Io } from './io.ts';

/** Says to whoever stops a command that makes calls what happens next. */
export function announceStop({ stop, err }: Io): void {
  const tell = (): void =>
    err(`${String(stop.reason)}: no further call; finishing what is in flight (once more to stop at once)\n`);
  if (stop.aborted) tell();
  else stop.addEventListener('abort', tell, { once: true });
}

/** The exit code of a command that a signal has stopped. */
export const signalCode = (stop: AbortSignal): ExitCode =>
  stop.reason === 'SIGINT' ? exitCodes.sigint : exitCodes.sigterm;
