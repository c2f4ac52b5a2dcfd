import { createScratch } from './scratch.ts';

/** A list that may be too long for memory. */
export interface LongList<T> extends Iterable<T> {
  readonly length: number;
  push(item: T): void;
  at(index: number): T | undefined;
  close(): void;
}

/** Items from one known place to the next: a place for each would take memory. */
const apart = 32;

/** @typeParam T what JSON keeps as it is */
export function createLongList<T>(): LongList<T> {
  const lines = createScratch();
  const places: number[] = [];
  let length = 0;
  return {
    get length() {
      return length;
    },
    push(item) {
      const from = lines.append(`${JSON.stringify(item)}\n`);
      if (length % apart === 0) places.push(from);
      length += 1;
    },
    at(index) {
      const place = Math.floor(index / apart);
      const [from, to = lines.bytes] = [places[place], places[place + 1]];
      const some = from === undefined ? '' : String(lines.read(from, to - from));
      const line = some.split('\n')[index % apart];
      return line ? (JSON.parse(line) as T) : undefined;
    },
    *[Symbol.iterator]() {
      for (const line of lines.lines()) yield JSON.parse(line) as T;
    },
    close: () => lines.close(),
  };
}
