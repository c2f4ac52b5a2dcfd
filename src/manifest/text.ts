import { isUtf8 } from 'node:buffer';
import { printable } from '../cells.ts';
import { UsageError } from '../errors.ts';
import { fileType } from './file-type.ts';

const saveAs = 'save it as UTF-8 (in Excel "CSV UTF-8") and run again';

/**
 * A manifest's bytes as text. Never guessed: UTF-8, UTF-16 with its byte order mark, or the encoding that was named.
 * @throws UsageError with a preview of what another encoding would read, or saying what else the file is
 */
export function readText(bytes: Buffer, file: string, encoding?: string): string {
  const type = fileType(bytes);
  if (type) {
    throw new UsageError(`${file}: this is a ${type.name}, not a text table: export it as CSV, ${saveAs}`);
  }
  const text = encoding ? readAs(bytes, file, encoding) : readUnicode(bytes, file);
  const nul = text.indexOf('\0');
  if (nul < 0) return text;
  throw new UsageError(
    `${file}: line ${lineOf(text, nul)} holds NUL characters, so it is no text table: export it as CSV, ${saveAs}`,
  );
}

/** In two steps, since Node 20 reads windows-1252 in one step as Latin-1: € and “ would become control characters. */
function decode(bytes: Uint8Array, encoding: string): string {
  const decoder = new TextDecoder(encoding, { fatal: true });
  return decoder.decode(bytes, { stream: true }) + decoder.decode();
}

function tryDecode(bytes: Uint8Array, encoding: string): string | undefined {
  try {
    return decode(bytes, encoding);
  } catch {
    return undefined;
  }
}

/** Why nothing can be read in this encoding; undefined where it is one. */
export function encodingFlaw(encoding: string): string | undefined {
  try {
    decode(Buffer.alloc(0), encoding);
    return undefined;
  } catch {
    return 'no such encoding; well-known ones are utf-8, gb18030, shift_jis, windows-1252';
  }
}

function readAs(bytes: Buffer, file: string, encoding: string): string {
  const flaw = encodingFlaw(encoding);
  if (flaw !== undefined) throw new UsageError(`--encoding ${printable(encoding, 40)}: ${flaw}`);
  const text = tryDecode(bytes, encoding);
  if (text !== undefined) return text;
  throw new UsageError(`${file}: it does not read as ${encoding}: try another --encoding, or ${saveAs}`);
}

function readUnicode(bytes: Buffer, file: string): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return readAs(bytes, file, 'utf-16le');
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return readAs(bytes, file, 'utf-16be');
  const wide = wideEncoding(bytes);
  if (wide) throw refusal(file, 'the file is UTF-16 without a byte order mark', wide, bytes.subarray(0, 200));
  if (isUtf8(bytes)) return decode(bytes, 'utf-8');
  const bad = firstBadLine(bytes);
  if (/[\0-\x08\x0E-\x1F]/.test(bad.bytes.toString('latin1'))) {
    throw new UsageError(
      `${file}: line ${bad.line} holds bytes that no text has: export it as CSV, ${saveAs}`,
    );
  }
  throw refusal(file, `line ${bad.line} is not UTF-8`, likeliest(bad.bytes), bad.bytes);
}

/** In UTF-16 every line end is a newline and a zero, and zeros are always on the same side of their pair. */
function wideEncoding(bytes: Buffer): string | undefined {
  const head = bytes.subarray(0, 4096);
  const zeros = [...head.keys()].filter((at) => head[at] === 0);
  if (head.includes('\n\0') && zeros.every((at) => at % 2 === 1)) return 'utf-16le';
  return head.includes('\0\n') && zeros.every((at) => at % 2 === 0) ? 'utf-16be' : undefined;
}

function refusal(file: string, what: string, encoding: string, bytes: Buffer): UsageError {
  return new UsageError(
    `${file}: ${what}. ${encoding.toUpperCase()} reads "${preview(bytes, encoding)}": if that is right, run again with --encoding ${encoding}; else ${saveAs}`,
  );
}

/** The text around the first character that is not ASCII. */
function preview(bytes: Buffer, encoding: string): string {
  const text = new TextDecoder(encoding).decode(bytes.subarray(0, 65_536), { stream: true });
  const at = Math.max(0, text.search(/[^\t\r\n -~]/u) - 12);
  return printable(text.slice(at, at + 40).trim());
}

function firstBadLine(bytes: Buffer): { line: number; bytes: Buffer } {
  for (let start = 0, line = 1; ; line++) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    const part = bytes.subarray(start, end);
    if (newline < 0 || !isUtf8(part)) return { line, bytes: part };
    start = end + 1;
  }
}

/** Which of the common old encodings a line most likely has: Chinese pairs, Japanese kana, else western letters. */
function likeliest(bytes: Buffer): string {
  const sample = bytes.subarray(0, 65_536).toString('latin1');
  const high = sample.match(/[\x80-\xFF]/g)?.length ?? 0;
  const pairs = sample.match(/[\xA1-\xF7][\xA1-\xFE]/g)?.length ?? 0;
  if (pairs * 2 > high * 0.6) return 'gb18030';
  const japanese = tryDecode(bytes, 'shift_jis');
  const western = sample.match(/[\xC0-\xFF]/g)?.length ?? 0;
  const kana = japanese !== undefined && /[\u3041-\u30FE]/.test(japanese);
  return japanese !== undefined && (kana || western * 2 < high) ? 'shift_jis' : 'windows-1252';
}

const lineOf = (text: string, at: number): number => text.slice(0, at).split('\n').length;
