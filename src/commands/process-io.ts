import { createInterface } from 'node:readline/promises';
import { setFlagsFromString } from 'node:v8';
import { printable } from '../cells.ts';
import { exitCodes } from '../errors.ts';
import type { Io } from './io.ts';

/** This process' own terminal and signals. */
export function processIo(): Io {
  // Where there is much memory V8 lets garbage pile up: a third of what a million rows take would be garbage.
  setFlagsFromString('--heap-growing-percent=50');
  const stop = new AbortController();
  let drawer: ((text: string) => void) | undefined;
  const err = (text: string): void => {
    if (drawer) drawer(safe(text));
    else process.stderr.write(safe(text));
  };
  let isHeard = false;
  const codes = { SIGINT: exitCodes.sigint, SIGTERM: exitCodes.sigterm };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (isHeard && !stop.signal.aborted) {
        stop.abort(signal);
        return;
      }
      if (isHeard)
        err(
          'Stopped at once. What was in flight may have been paid; the same command goes on, and lists it.\n',
        );
      // The calls in flight stay on record as what they are: of unknown outcome.
      // oxlint-disable-next-line unicorn/no-process-exit
      process.exit(codes[signal]);
    });
  }
  // A reader that went away (`| head`) is no fault of the run.
  process.stdout.on('error', () => undefined);
  const talks = process.stdin.isTTY && process.stderr.isTTY;
  return {
    out: (text) => void process.stdout.write(safe(text)),
    err,
    get stop() {
      isHeard = true;
      return stop.signal;
    },
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
