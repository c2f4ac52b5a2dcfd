import { clearLine, cursorTo, moveCursor } from 'node:readline';
import { createLogUpdate } from 'log-update';
import stringWidth from 'string-width';

/** What can be drawn on: a terminal's stream. */
export type Canvas = NodeJS.WritableStream &
  Pick<NodeJS.WriteStream, 'columns' | 'rows' | 'hasColors' | 'cork' | 'uncork'>;

export interface Drawing {
  /** Looks again at what there is to see, now or within a quarter of a second. */
  update(): void;
  /** Whole lines that stay, above the drawing. */
  above(text: string): void;
  /** Wipes the drawing. */
  close(): void;
}

const shortestMs = 250;

/** A terminal that counts a character wider than we do cuts the line instead of breaking it. */
const wrapOff = '\u001B[?7l';
const wrapOn = '\u001B[?7h';

/**
 * Keeps a few lines at the end of a terminal as `frame` says, rewriting only lines that change. The cursor stays
 * visible below them, so that no crash, kill or stop can leave a terminal without one.
 */
export function openDrawing(stream: Canvas, frame: () => string): Drawing {
  const draw = createLogUpdate(stream, { showCursor: true });
  let shown: string[] = [];
  let drawnAt = -Infinity;
  let timer: NodeJS.Timeout | undefined;

  /** In one write, so that nothing half done is ever seen. */
  const whole = (work: () => void): void => {
    stream.cork();
    stream.write(wrapOff);
    work();
    stream.write(wrapOn);
    stream.uncork();
  };
  const forget = (): void => {
    shown = [];
    draw.done();
  };
  /** Lines that were drawn on a wider screen have been broken by the terminal, and are higher now. */
  const erase = (): void => {
    const heightOf = (line: string): number =>
      Math.max(1, Math.ceil(stringWidth(line) / Math.max(1, stream.columns)));
    const height = shown.reduce((sum, line) => sum + heightOf(line), 0);
    clearLine(stream, 0);
    // Line by line: some terminals keep a screen that is cleared at once in their history.
    for (let up = 0; up < height; up++) {
      moveCursor(stream, 0, -1);
      clearLine(stream, 0);
    }
    cursorTo(stream, 0);
    forget();
  };
  const paint = (text: string): void => {
    const lines = text === '' ? [] : text.split('\n');
    // log-update moves wrongly when lines are added or taken away above others that stay.
    if (shown.length > 0 && lines.length !== shown.length) erase();
    if (lines.length > 0) draw(text);
    shown = lines;
    drawnAt = performance.now();
  };
  const look = (): void => {
    timer = undefined;
    const text = frame();
    if (text !== shown.join('\n')) whole(() => paint(text));
  };
  const redraw = (): void => {
    if (shown.length === 0) return;
    whole(() => {
      erase();
      paint(frame());
    });
  };
  /** Back from Ctrl-Z, with the shell's words below the old drawing. */
  const resume = (): void => {
    if (shown.length === 0) return;
    forget();
    look();
  };
  stream.on('resize', redraw);
  process.on('SIGCONT', resume);

  return {
    update() {
      timer ??= setTimeout(look, Math.max(0, drawnAt + shortestMs - performance.now())).unref();
    },
    above(text) {
      const lines = text.endsWith('\n') ? text : `${text}\n`;
      if (shown.length === 0) stream.write(lines);
      else {
        stream.cork();
        erase();
        stream.write(lines);
        whole(() => paint(frame()));
        stream.uncork();
      }
    },
    close() {
      clearTimeout(timer);
      stream.off('resize', redraw);
      process.off('SIGCONT', resume);
      if (shown.length > 0) whole(erase);
    },
  };
}
