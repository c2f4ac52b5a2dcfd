import { TextDecoder } from 'node:util';
import { printable } from '../cells.ts';
import { systemCode, UsageError } from '../errors.ts';
import { fileType } from './file-type.ts';
import { firstParts, type Parts } from './source.ts';

const saveAs = 'save it as UTF-8 (in Excel "CSV UTF-8") and run again';
const headBytes = 4096;
/** More of a line isn't needed to tell its encoding. */
const longestBad = 65_536;

/** A manifest's characters. */
export interface Text {
  parts: Parts<string>;
  /** There is a line feed in it, so that a carriage return alone ends no line. */
  hasLineFeed: boolean;
}

/**
 * A manifest's bytes as text, all of which were looked at. Never guessed: UTF-8, UTF-16 with its byte order mark, or the
 * encoding that was named.
 * @throws UsageError with a preview of what another encoding would read, or saying what else the file is
 */
export async function openText(bytes: Parts<Buffer>, file: string, encoding?: string): Promise<Text> {
  const head = Buffer.concat(await firstParts(bytes, headBytes)).subarray(0, headBytes);
  const type = fileType(head);
  if (type) {
    const otherwise = type.name.includes('.xlsx') ? '; if it is one, call it .xlsx or add --format xlsx' : '';
    throw new UsageError(
      `${file}: this is a ${type.name}, not a text table: export it as CSV, ${saveAs}${otherwise}`,
    );
  }
  const flaw = encoding === undefined ? undefined : encodingFlaw(encoding);
  if (flaw !== undefined) throw new UsageError(`--encoding ${printable(encoding ?? '', 40)}: ${flaw}`);
  const name = encoding ?? unicodeOf(head, file);
  const survey = await lookThrough(bytes, name);
  if (!survey) {
    if (encoding === undefined && name === 'utf-8') throw await notUtf8(bytes, file);
    throw new UsageError(`${file}: it does not read as ${name}: try another --encoding, or ${saveAs}`);
  }
  const { nulLine, hasLineFeed } = survey;
  if (nulLine !== undefined) {
    const problem = `line ${nulLine} holds NUL characters, so it is no text table`;
    throw new UsageError(`${file}: ${problem}: export it as CSV, ${saveAs}`);
  }
  // Not fatal any more: what doesn't read now was changed meanwhile, which is found out in the end.
  return { hasLineFeed, parts: () => decoded(bytes, new TextDecoder(name)) };
}

const mostDocument = 64 * 1024 * 1024;

/** All of it at once, for formats that can't be read piece by piece. @throws UsageError where that would be too much */
export async function wholeText({ parts }: Text): Promise<string> {
  const pieces: string[] = [];
  let length = 0;
  for await (const piece of parts()) {
    pieces.push(piece);
    length += piece.length;
    if (length > mostDocument)
      throw new UsageError(
        'a JSON or YAML document of more than 64 MB is not read: write a line a row, as .jsonl or .csv',
      );
  }
  return pieces.join('');
}

/** A text that is in memory. */
export const textOf = (text: string): Text => ({
  hasLineFeed: text.includes('\n'),
  async *parts() {
    yield text;
  },
});

/** In steps, since Node 20 reads windows-1252 in one step as Latin-1: € and “ would become control characters. */
async function* decoded(bytes: Parts<Buffer>, decoder: TextDecoder): AsyncGenerator<string> {
  for await (const part of bytes()) yield decoder.decode(part, { stream: true });
  yield decoder.decode();
}

interface Survey {
  /** The first line that holds NUL. */
  nulLine: number | undefined;
  hasLineFeed: boolean;
}

/** Reads all; undefined where it doesn't read in this encoding. */
async function lookThrough(bytes: Parts<Buffer>, encoding: string): Promise<Survey | undefined> {
  let [lineFeeds, nulLine]: [number, number | undefined] = [0, undefined];
  try {
    for await (const text of decoded(bytes, new TextDecoder(encoding, { fatal: true }))) {
      const nul = text.indexOf('\0');
      if (nul >= 0) nulLine ??= lineFeeds + countLineFeeds(text.slice(0, nul)) + 1;
      lineFeeds += countLineFeeds(text);
    }
  } catch (error) {
    if (systemCode(error) === 'ERR_ENCODING_INVALID_ENCODED_DATA') return undefined;
    throw error;
  }
  return { nulLine, hasLineFeed: lineFeeds > 0 };
}

function countLineFeeds(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

function tryDecode(bytes: Uint8Array, encoding: string): string | undefined {
  try {
    const decoder = new TextDecoder(encoding, { fatal: true });
    return decoder.decode(bytes, { stream: true }) + decoder.decode();
  } catch {
    return undefined;
  }
}

/** Why nothing can be read in this encoding; undefined where it is one. */
export function encodingFlaw(encoding: string): string | undefined {
  const isKnown = tryDecode(Buffer.alloc(0), encoding) !== undefined;
  return isKnown
    ? undefined
    : 'no such encoding; well-known ones are utf-8, gb18030, shift_jis, windows-1252';
}

/** By the byte order mark. */
function unicodeOf(head: Buffer, file: string): string {
  if (head[0] === 0xff && head[1] === 0xfe) return 'utf-16le';
  if (head[0] === 0xfe && head[1] === 0xff) return 'utf-16be';
  const wide = wideEncoding(head);
  if (!wide) return 'utf-8';
  throw refusal(file, 'the file is UTF-16 without a byte order mark', wide, head.subarray(0, 200));
}

async function notUtf8(bytes: Parts<Buffer>, file: string): Promise<UsageError> {
  const bad = await firstBadLine(bytes);
  if (/[\0-\x08\x0E-\x1F]/.test(bad.bytes.toString('latin1'))) {
    const problem = `line ${bad.line} holds bytes that no text has`;
    return new UsageError(`${file}: ${problem}: export it as CSV, ${saveAs}`);
  }
  return refusal(file, `line ${bad.line} is not UTF-8`, likeliest(bad.bytes), bad.bytes);
}

/** In UTF-16 every line end is a newline and a zero, and zeros are always on the same side of their pair. */
function wideEncoding(head: Buffer): string | undefined {
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
  const text = new TextDecoder(encoding).decode(bytes, { stream: true });
  const at = Math.max(0, text.search(/[^\t\r\n -~]/u) - 12);
  return printable(text.slice(at, at + 40).trim());
}

/** The first line that is not UTF-8, as far as a message needs it. */
async function firstBadLine(bytes: Parts<Buffer>): Promise<{ line: number; bytes: Buffer }> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let line = 1;
  let start = Buffer.alloc(0);
  let isBad = false;
  for await (const part of bytes()) {
    for (let from = 0, end = 0; end >= 0; from = end + 1) {
      end = part.indexOf(0x0a, from);
      const piece = part.subarray(from, end < 0 ? part.length : end);
      if (start.length < longestBad)
        start = Buffer.concat([start, piece.subarray(0, longestBad - start.length)]);
      isBad ||= !reads(decoder, piece, end >= 0);
      if (isBad && (end >= 0 || start.length >= longestBad)) return { line, bytes: start };
      if (end < 0) continue;
      line++;
      start = Buffer.alloc(0);
    }
  }
  return { line, bytes: start };
}

function reads(decoder: TextDecoder, piece: Buffer, isLast: boolean): boolean {
  try {
    decoder.decode(piece, { stream: !isLast });
    return true;
  } catch {
    return false;
  }
}

/** Which of the common old encodings a line most likely has: Chinese pairs, Japanese kana, else western letters. */
function likeliest(bytes: Buffer): string {
  const sample = bytes.toString('latin1');
  const high = sample.match(/[\x80-\xFF]/g)?.length ?? 0;
  const pairs = sample.match(/[\xA1-\xF7][\xA1-\xFE]/g)?.length ?? 0;
  if (pairs * 2 > high * 0.6) return 'gb18030';
  const japanese = tryDecode(bytes, 'shift_jis');
  const western = sample.match(/[\xC0-\xFF]/g)?.length ?? 0;
  const kana = japanese !== undefined && /[\u3041-\u30FE]/.test(japanese);
  return japanese !== undefined && (kana || western * 2 < high) ? 'shift_jis' : 'windows-1252';
}
