/** How a picture's base64 ended; `none`: there was not a character of it. */
type Decoded = 'whole' | 'none' | 'damaged';

/** Takes base64 in pieces of any size and hands on the bytes in blocks, never holding more than one block. */
export interface Base64Decoder {
  /** Copies what it needs: the piece may be reused at once. */
  push(piece: Buffer): void;
  end(): Decoded;
}

const blockSize = 64 * 1024;
const whitespace = new Set([0x20, 0x09, 0x0a, 0x0d]);

/**
 * Strict where `Buffer.from` is lenient: the standard alphabet, padding at the end and nowhere else. A leading
 * `data:…;base64,` and whitespace between are left out. `sink` is called synchronously with bytes that are only its
 * own until it returns; after damage it is not called again.
 */
export function createBase64Decoder(sink: (bytes: Buffer) => void): Base64Decoder {
  const block = Buffer.allocUnsafe(blockSize);
  const decoded = Buffer.allocUnsafe((blockSize / 4) * 3);
  let fill = 0;
  let begun = false;
  let empty = true;
  let damaged = false;

  function decode(characters: number, expected: number): boolean {
    const source = block.subarray(0, characters);
    // Node decodes the URL-safe alphabet as well, and everything else foreign shortens the result.
    if (source.includes(0x2d) || source.includes(0x5f)) return false;
    if (decoded.write(source.toString('latin1'), 'base64') !== expected) return false;
    if (expected > 0) {
      sink(decoded.subarray(0, expected));
      empty = false;
    }
    block.copyWithin(0, characters, fill);
    fill -= characters;
    return true;
  }

  // The last four characters stay back: only at the end is padding allowed, and a block may end with it.
  function decodeBlock(): boolean {
    const characters = Math.max(0, (fill - 4) & ~3);
    return decode(characters, (characters / 4) * 3);
  }

  function decodeRest(): boolean {
    const padding = /={0,2}$/.exec(block.toString('latin1', Math.max(0, fill - 2), fill))?.[0].length ?? 0;
    return fill % 4 === 0 && decode(fill, (fill / 4) * 3 - padding);
  }

  function flush(step: () => boolean): void {
    if (!begun) fill = dropPrefix(block, fill);
    begun = true;
    if (fill < 0) damaged = true;
    if (damaged || step()) return;
    const left = dropWhitespace(block, fill);
    const dropped = left < fill;
    fill = left;
    damaged = !dropped || !step();
  }

  return {
    push(piece) {
      for (let at = 0; at < piece.length && !damaged;) {
        const copied = piece.copy(block, fill, at);
        at += copied;
        fill += copied;
        if (fill === blockSize) flush(decodeBlock);
      }
    },
    end() {
      if (!damaged) flush(decodeRest);
      if (damaged) return 'damaged';
      return empty ? 'none' : 'whole';
    },
  };
}

/** The new fill; -1 for a `data:` URI that is not base64. */
function dropPrefix(block: Buffer, fill: number): number {
  if (block.toString('latin1', 0, Math.min(fill, 5)).toLowerCase() !== 'data:') return fill;
  const comma = block.subarray(0, fill).indexOf(0x2c);
  if (comma < 0 || !/;base64$/i.test(block.toString('latin1', 0, comma))) return -1;
  block.copyWithin(0, comma + 1, fill);
  return fill - comma - 1;
}

/** The new fill. */
function dropWhitespace(block: Buffer, fill: number): number {
  let kept = 0;
  for (const byte of block.subarray(0, fill)) {
    if (!whitespace.has(byte)) block[kept++] = byte;
  }
  return kept;
}
