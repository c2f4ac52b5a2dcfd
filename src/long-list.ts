import { createScratch } from './scratch.ts';

/** A list that may be too long for memory. */
export interface LongList<T> extends Iterable<T> {
  readonly length: number;
  push(item: T): void;
  close(): void;
}

/** @typeParam T what JSON keeps as it is */
export function createLongList<T>(): LongList<T> {
  const lines = createScratch();
  let length = 0;
  return {
    get length() {
      return length;
    },
    push(item) {
      lines.append(`${JSON.stringify(item)}\n`);
      length += 1;
    },
    *[Symbol.iterator]() {
      for (const line of lines.lines()) yield JSON.parse(line) as T;
    },
    close: () => lines.close(),
  };
}
