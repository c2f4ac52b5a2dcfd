import { createInterface } from 'node:readline/promises';
import { printable } from '../cells.ts';
import { exitCodes } from '../errors.ts';
import type { Io } from './io.ts';

/** This process' own terminal and signals: the first asks for a clear end, the second ends it at once. */
export function processIo(): Io {
  const stop = new AbortController();
  let drawer: ((text: string) => void) | undefined;
  const err = (text: string): void => {
    if (drawer) drawer(safe(text));
    else process.stderr.write(safe(text));
  };
  const codes = { SIGINT: exitCodes.sigint, SIGTERM: exitCodes.sigterm };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      // The calls in flight stay on record as what they are: of unknown outcome.
      // oxlint-disable-next-line unicorn/no-process-exit
      if (stop.signal.aborted) process.exit(codes[signal]);
      err(`${signal}: no further call; finishing what is in flight (once more to stop at once)\n`);
      stop.abort(signal);
    });
  }
  // A reader that went away (`| head`) is no fault of the run.
  process.stdout.on('error', () => undefined);
  const talks = process.stdin.isTTY && process.stderr.isTTY;
  return {
    out: (text) => void process.stdout.write(safe(text)),
    err,
    stop: stop.signal,
    ask: talks ? (question) => ask(question, stop.signal) : undefined,
    terminal: process.stderr.isTTY
      ? { stream: process.stderr, lend: (write) => void (drawer = write) }
      : undefined,
  };
}

/** Whatever a manifest, an option or the API says, no control character but line ends reaches the terminal; JSON stays JSON. */
function safe(text: string): string {
  return text
    .split('\n')
    .map((line) => printable(line, Infinity))
    .join('\n');
}

async function ask(question: string, signal: AbortSignal): Promise<string> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await lines.question(question, { signal });
  } catch {
    return '';
  } finally {
    lines.close();
  }
}
