import { mostRecord } from './bounds.ts';
import type { Parts } from './source.ts';

/** A line that holds something, and its number from 1; of one that is too long only its beginning, but too long as well. */
export interface NumberedLine {
  line: number;
  text: string;
}

/** Lines but blank ones, some at a time. They end with CR, LF or both. */
export async function* readLines(parts: Parts<string>): AsyncGenerator<NumberedLine[]> {
  let line = 1;
  let pieces: string[] = [];
  let length = 0;
  let isAfterReturn = false;
  const add = (piece: string): void => {
    if (length <= mostRecord) pieces.push(piece);
    length += piece.length;
  };
  const take = (): NumberedLine[] => {
    const text = pieces.join('');
    [pieces, length] = [[], 0];
    return text.trim() === '' ? [] : [{ line, text }];
  };
  for await (const part of parts()) {
    if (part === '') continue;
    // A line feed after the last part's carriage return ends the same line.
    const text = isAfterReturn && part.startsWith('\n') ? part.slice(1) : part;
    isAfterReturn = part.endsWith('\r');
    const [first = '', ...others] = text.split(/\r\n|[\r\n]/);
    const lines: NumberedLine[] = [];
    add(first);
    for (const other of others) {
      lines.push(...take());
      line++;
      add(other);
    }
    yield lines;
  }
  yield take();
}
