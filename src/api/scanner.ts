import { createBase64Decoder, type Base64Decoder } from './base64.ts';
import { createJsonLexer } from './json-lexer.ts';

/** What an answer's body held, seen as it passed. */
export interface ScanResult {
  /** `cut`: the body ended inside the picture; `damaged`: it is no base64; `none`: no picture, or an empty one. */
  picture: 'whole' | 'none' | 'damaged' | 'cut';
  /** The body is a JSON object or array that ended properly, with nothing behind it. */
  complete: boolean;
  /** The first 4 KB of the body without the picture, for messages and for the API's own envelope. */
  head: string;
}

/** Reads an answer as it arrives. */
export interface Scanner {
  /** Is done with the chunk when it returns; throws only what the sink throws. */
  push(chunk: Buffer): void;
  end(): ScanResult;
}

const pictureKey = Buffer.from('b64_json');
const headSize = 4096;
const [colon, openBracket, closeBracket, openBrace, closeBrace] = Buffer.from(':[]{}');

/**
 * Finds the first string that is the value of a key `b64_json` in a JSON document of any depth, and hands its decoded
 * bytes to `sink`. A string is a key when a colon follows it, so of the nesting only the depth counts.
 */
export function createScanner(sink: (bytes: Buffer) => void): Scanner {
  const head = createHead();
  let picture: ScanResult['picture'] | undefined;
  /** Set while the picture's own string is read. */
  let decoder: Base64Decoder | undefined;
  /** How much of the key the string so far is; -1: it is another string. */
  let matched = -1;
  let keyEnded = false;
  let valueNext = false;
  let depth = 0;
  let begun = false;
  let broken = false;
  let chunk: Buffer = Buffer.alloc(0);
  /** Where in the chunk the part begins that the head has not seen yet. */
  let unkept = 0;

  const lexer = createJsonLexer({
    structure(byte) {
      if (depth === 0 && (begun || (byte !== openBrace && byte !== openBracket))) broken = true;
      valueNext = byte === colon && keyEnded;
      keyEnded = false;
      if (byte === openBrace || byte === openBracket) depth += 1;
      if (byte === closeBrace || byte === closeBracket) depth -= 1;
      begun ||= depth > 0;
    },
    stringStart(index) {
      if (depth === 0) broken = true;
      matched = 0;
      keyEnded = false;
      if (valueNext && picture === undefined) {
        decoder = createBase64Decoder(sink);
        head.keep(chunk.subarray(unkept, index + 1));
      }
      valueNext = false;
    },
    stringPiece(text) {
      if (decoder) decoder.push(text);
      else matched = matchKey(text, matched);
    },
    stringEnd(index) {
      keyEnded = !decoder && depth > 0 && matched === pictureKey.length;
      if (!decoder) return;
      picture = decoder.end();
      decoder = undefined;
      unkept = index;
    },
    fault() {
      broken = true;
    },
  });

  return {
    push(bytes) {
      chunk = bytes;
      unkept = 0;
      lexer.push(bytes);
      if (!decoder) head.keep(bytes.subarray(unkept));
    },
    end() {
      return {
        picture: decoder ? 'cut' : (picture ?? 'none'),
        complete: begun && depth === 0 && !broken,
        head: head.text(),
      };
    },
  };
}

/** How much of the key is matched after one more piece of a string; -1: it is another string. */
function matchKey(text: Buffer, matched: number): number {
  const end = matched + text.length;
  if (matched < 0 || end > pictureKey.length) return -1;
  return pictureKey.subarray(matched, end).equals(text) ? end : -1;
}

interface Head {
  keep(bytes: Buffer): void;
  text(): string;
}

function createHead(): Head {
  const kept = Buffer.alloc(headSize);
  let length = 0;
  return {
    keep(bytes) {
      length += bytes.copy(kept, length);
    },
    text: () => kept.toString('utf8', 0, length),
  };
}
