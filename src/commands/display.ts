import type { RunView } from '../batch/view.ts';
import { openDrawing } from './display/draw.ts';
import { renderView } from './display/frame.ts';
import { plainLine } from './display/plain.ts';
import type { Io, Terminal } from './io.ts';

const talkEveryMs = 30_000;

/** How a run's progress is shown. */
export interface ProgressFlags {
  quiet?: boolean;
  /** The terminal can't move its cursor. */
  dumb?: boolean;
  /** Does something keep the computer from falling asleep? Else the display says until when a person must. */
  awake?: boolean;
}

export interface Progress {
  /** How the run stands now; told as often as you like. */
  update(view: RunView): void;
  /** Nothing further is shown, and a display is wiped; once more does nothing. */
  close(): void;
}

/**
 * A run's progress on standard error: a display where that is a terminal, else a line every half minute. While a display
 * is open, whatever `io.err` is told stands above it.
 */
export function showProgress(io: Io, { quiet = false, dumb = false, awake = true }: ProgressFlags): Progress {
  if (quiet) return { update: () => undefined, close: () => undefined };
  // A terminal of no size (a serial line, some CI) doesn't say where its lines end.
  const { terminal } = io;
  if (dumb || !terminal || !(terminal.stream.columns > 0 && terminal.stream.rows > 0))
    return plainProgress(io);
  return liveProgress(terminal, awake);
}

function liveProgress({ stream, lend }: Terminal, awake: boolean): Progress {
  let latest: RunView | undefined;
  const frame = (view: RunView): string => {
    const { columns, rows } = stream;
    return renderView(view, { columns, rows, color: stream.hasColors(), now: new Date(), awake });
  };
  const drawing = openDrawing(stream, () => (latest ? frame(latest) : ''));
  lend(drawing.above);
  let open = true;
  return {
    update(view) {
      if (!open) return;
      latest = view;
      drawing.update();
    },
    close() {
      if (!open) return;
      open = false;
      drawing.close();
      lend(undefined);
    },
  };
}

function plainProgress(io: Io): Progress {
  let last = performance.now();
  let open = true;
  return {
    update(view) {
      if (!open || performance.now() - last < talkEveryMs) return;
      last = performance.now();
      io.err(`${plainLine(view, new Date())}\n`);
    },
    close: () => void (open = false),
  };
}
