import { hash, randomBytes } from 'node:crypto';

/** Half of a slot, in each of the two arrays that share its bytes. */
const fewestSlots = 1024;
const fullest = 0.8;

/**
 * Numbers by text keys, for millions of keys, in 20 to 40 bytes a key: a Map would take over a hundred. The keys themselves
 * are not kept, only 64 bits of a hash of each that differs from table to table, so that nobody can prepare keys that
 * meet. By chance two of a million keys are taken for one once in 37 million tables.
 */
export class KeyTable {
  readonly #salt = randomBytes(9).toString('base64');
  /** A slot is four words: the hash's low half, its high half (0: the slot is free), and the number's two. */
  #words = new Uint32Array(fewestSlots * 4);
  /** The same bytes, where each slot's second is its number. */
  #numbers = new Float64Array(this.#words.buffer);
  #size = 0;
  #key = '';
  #low = 0;
  #high = 0;

  /** How many keys there are. */
  get size(): number {
    return this.#size;
  }

  has(key: string): boolean {
    return this.#words[this.#slotOf(key) * 4 + 1] !== 0;
  }

  get(key: string): number | undefined {
    const slot = this.#slotOf(key);
    return this.#words[slot * 4 + 1] === 0 ? undefined : this.#numbers[slot * 2 + 1];
  }

  set(key: string, number: number): void {
    let slot = this.#slotOf(key);
    if (this.#words[slot * 4 + 1] === 0) {
      this.#size++;
      if (this.#size > (this.#words.length / 4) * fullest) {
        this.#grow();
        slot = this.#slotOf(key);
      }
    }
    this.#put(slot, this.#low, this.#high, number);
  }

  /** The key's slot, or the free one where it would stand. */
  #slotOf(key: string): number {
    // Who sets a key has mostly just asked for it.
    if (this.#high === 0 || key !== this.#key) this.#take(key);
    return this.#find(this.#low, this.#high);
  }

  #take(key: string): void {
    // As text the digest is a third of the work that a Buffer is.
    const digest = hash('sha256', this.#salt + key, 'binary');
    this.#low = wordOf(digest, 0);
    this.#high = wordOf(digest, 4) || 1;
    this.#key = key;
  }

  #find(low: number, high: number): number {
    const words = this.#words;
    const last = words.length / 4 - 1;
    let slot = low & last;
    for (;;) {
      const there = words[slot * 4 + 1];
      if (there === 0 || (there === high && words[slot * 4] === low)) return slot;
      slot = (slot + 1) & last;
    }
  }

  #put(slot: number, low: number, high: number, number: number): void {
    this.#words[slot * 4] = low;
    this.#words[slot * 4 + 1] = high;
    this.#numbers[slot * 2 + 1] = number;
  }

  #grow(): void {
    const [words, numbers] = [this.#words, this.#numbers];
    this.#words = new Uint32Array(words.length * 2);
    this.#numbers = new Float64Array(this.#words.buffer);
    for (let slot = 0; slot * 4 < words.length; slot++) {
      const [low = 0, high = 0, number = 0] = [words[slot * 4], words[slot * 4 + 1], numbers[slot * 2 + 1]];
      if (high !== 0) this.#put(this.#find(low, high), low, high, number);
    }
  }
}

const wordOf = (digest: string, at: number): number =>
  (digest.charCodeAt(at) |
    (digest.charCodeAt(at + 1) << 8) |
    (digest.charCodeAt(at + 2) << 16) |
    (digest.charCodeAt(at + 3) << 24)) >>>
  0;
