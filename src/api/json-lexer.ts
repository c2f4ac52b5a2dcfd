/** What the lexer sees, in order. Indexes are places in the chunk that is being pushed. */
export interface JsonEvents {
  /** A byte outside strings that is not white space. */
  structure(byte: number): void;
  stringStart(index: number): void;
  /** A piece of the string's text with its escapes undone; only valid until the call returns. */
  stringPiece(text: Buffer): void;
  stringEnd(index: number): void;
  /** An escape that JSON does not know. */
  fault(): void;
}

export interface JsonLexer {
  push(chunk: Buffer): void;
}

const quote = 0x22;
const backslash = 0x5c;
const escapes: Record<string, number> = {
  b: 8,
  t: 9,
  n: 10,
  f: 12,
  r: 13,
  '"': quote,
  '\\': backslash,
  '/': 0x2f,
};

const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);

/** Splits JSON into strings and the rest, in chunks of any size, without building the strings. */
export function createJsonLexer(events: JsonEvents): JsonLexer {
  let inString = false;
  /** The bytes of an unfinished escape behind its backslash; undefined outside escapes. */
  let escape: string | undefined;
  /** The next quote of the chunk: remembered, or a text full of escapes would be searched again for each. */
  let nextQuote = -1;

  function takeEscaped(byte: number): void {
    escape += String.fromCharCode(byte);
    const text = escape ?? '';
    const unicode = text.startsWith('u');
    if (unicode && text.length < 5) return;
    escape = undefined;
    const unit = unicode ? hex(text.slice(1)) : escapes[text];
    if (unit === undefined) events.fault();
    // Who reads our strings looks for ASCII only, so one foreign byte does for all other characters.
    events.stringPiece(Buffer.of(unit !== undefined && unit < 0x80 ? unit : 0xff));
  }

  function takeText(chunk: Buffer, from: number): number {
    if (nextQuote < from) nextQuote = indexOrEnd(chunk, quote, from);
    const end = indexOrEnd(chunk.subarray(0, nextQuote), backslash, from);
    if (end > from) events.stringPiece(chunk.subarray(from, end));
    if (end === chunk.length) return end;
    if (end < nextQuote) escape = '';
    else {
      inString = false;
      events.stringEnd(end);
    }
    return end + 1;
  }

  function takeStructure(byte: number, index: number): void {
    if (byte === quote) {
      inString = true;
      events.stringStart(index);
    } else if (!isSpace(byte)) events.structure(byte);
  }

  return {
    push(chunk) {
      nextQuote = -1;
      let at = 0;
      while (at < chunk.length) {
        if (inString && escape === undefined) at = takeText(chunk, at);
        else {
          const byte = chunk[at] ?? 0;
          if (inString) takeEscaped(byte);
          else takeStructure(byte, at);
          at += 1;
        }
      }
    },
  };
}

function hex(digits: string): number | undefined {
  return /^[\da-f]{4}$/i.test(digits) ? Number.parseInt(digits, 16) : undefined;
}

function indexOrEnd(chunk: Buffer, byte: number, from: number): number {
  const index = chunk.indexOf(byte, from);
  return index < 0 ? chunk.length : index;
}
