import { hash, randomBytes } from 'node:crypto';

/**
 * A table grows part by part: what is let go when a part grows is small enough to be used again, where an allocator keeps
 * the place of a large array for itself.
 */
const parts = 256;
const fewestSlots = 8;
const fullest = 0.8;
const growth = 1.25;

interface Part {
  /** Two a slot: the hash's low half, and its high half (0: the slot is free). */
  words: Uint32Array;
  /** One a slot; wide ones once some number needs it. */
  numbers: Uint32Array | Float64Array;
  size: number;
}

/**
 * Numbers by text keys, for millions of keys, in 15 to 25 bytes a key: a Map would take over a hundred. The keys themselves
 * are not kept, only 64 bits of a hash of each that differs from table to table, so that nobody can prepare keys that
 * meet. By chance two of a million keys are taken for one once in 37 million tables.
 */
export class KeyTable {
  readonly #salt = randomBytes(9).toString('base64');
  readonly #parts = Array.from({ length: parts }, () => empty);
  #size = 0;
  #key = '';
  #low = 0;
  #high = 0;

  /** How many keys there are. */
  get size(): number {
    return this.#size;
  }

  has(key: string): boolean {
    const { words } = this.#partOf(key);
    return words[this.#slotIn(words) * 2 + 1] !== 0;
  }

  get(key: string): number | undefined {
    const { words, numbers } = this.#partOf(key);
    const slot = this.#slotIn(words);
    return words[slot * 2 + 1] === 0 ? undefined : numbers[slot];
  }

  set(key: string, number: number): void {
    let part = this.#partOf(key);
    let slot = this.#slotIn(part.words);
    if (part.words[slot * 2 + 1] === 0) {
      if (part.size + 1 > part.numbers.length * fullest) {
        part = grown(part);
        this.#parts[this.#high % parts] = part;
        slot = this.#slotIn(part.words);
      }
      part.size += 1;
      this.#size += 1;
    }
    put(part, slot, this.#low, this.#high, number);
  }

  /** The part in which a key stands, or would stand. */
  #partOf(key: string): Part {
    // Who sets a key has mostly just asked for it.
    if (this.#high === 0 || key !== this.#key) this.#take(key);
    return this.#parts[this.#high % parts] ?? empty;
  }

  #take(key: string): void {
    // As text the digest is a third of the work that a Buffer is.
    const digest = hash('sha256', this.#salt + key, 'binary');
    this.#low = wordOf(digest, 0);
    this.#high = wordOf(digest, 4) || 1;
    this.#key = key;
  }

  #slotIn(words: Uint32Array): number {
    return find(words, this.#low, this.#high);
  }
}

const createPart = (slots: number, size: number): Part => ({
  words: new Uint32Array(slots * 2),
  numbers: new Uint32Array(slots),
  size,
});

/** Of all tables, and never written to. */
const empty = createPart(1, 0);

/** The slot of a hash, or the free one where it would stand. */
function find(words: Uint32Array, low: number, high: number): number {
  const slots = words.length / 2;
  let slot = Math.floor((low / 2 ** 32) * slots);
  for (;;) {
    const there = words[slot * 2 + 1];
    if (there === 0 || (there === high && words[slot * 2] === low)) return slot;
    slot = slot + 1 === slots ? 0 : slot + 1;
  }
}

function put(part: Part, slot: number, low: number, high: number, number: number): void {
  part.words[slot * 2] = low;
  part.words[slot * 2 + 1] = high;
  if (number >>> 0 !== number && part.numbers instanceof Uint32Array)
    part.numbers = Float64Array.from(part.numbers);
  part.numbers[slot] = number;
}

function grown({ words, numbers, size }: Part): Part {
  const part = createPart(Math.max(fewestSlots, Math.ceil(numbers.length * growth)), size);
  for (let slot = 0; slot < numbers.length; slot++) {
    const [low = 0, high = 0, number = 0] = [words[slot * 2], words[slot * 2 + 1], numbers[slot]];
    if (high !== 0) put(part, find(part.words, low, high), low, high, number);
  }
  return part;
}

const wordOf = (digest: string, at: number): number =>
  (digest.charCodeAt(at) |
    (digest.charCodeAt(at + 1) << 8) |
    (digest.charCodeAt(at + 2) << 16) |
    (digest.charCodeAt(at + 3) << 24)) >>>
  0;
