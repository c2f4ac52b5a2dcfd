/** So many numbers stand together: too few for an allocator to keep their place for itself once they are let go. */
const onPage = 8192;

type Numbers = Float64Array | Uint32Array | Uint8Array;

/** Millions of numbers by their places from 0; it grows page by page, so that nothing is copied. */
export class Column {
  readonly #kind: new (length: number) => Numbers;
  readonly #pages: Numbers[] = [];
  #length = 0;

  /** @param kind how a number is kept */
  constructor(kind: new (length: number) => Numbers) {
    this.#kind = kind;
  }

  get length(): number {
    return this.#length;
  }

  push(number: number): void {
    const place = this.#length % onPage;
    if (place === 0) this.#pages.push(new this.#kind(onPage));
    const page = this.#pages.at(-1);
    if (page) page[place] = number;
    this.#length += 1;
  }

  /** 0 where there is none. */
  at(place: number): number {
    return this.#pages[Math.floor(place / onPage)]?.[place % onPage] ?? 0;
  }
}
