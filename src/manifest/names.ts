import { createHash } from 'node:crypto';
import { UsageError } from '../errors.ts';
import { KeyTable } from '../key-table.ts';

/** In names made from columns a path segment's stem is cut to so many bytes. */
const longestMade = 120;
/** What file systems allow. */
const longestSegment = 255;
/** Object stores allow 1,024 bytes, of which the bucket's prefix needs some. */
const longestPath = 900;

const slot = /\{([^{}]*)\}/g;
const slashOutsideBraces = /\/(?![^{}]*\})/;
const anyExtension = '.{ext}';

/** @throws UsageError where braces don't pair, or `{ext}` stands anywhere but at the end */
export function checkNameTemplate(template: string): void {
  const flaw = templateFlaw(template);
  if (flaw !== undefined) throw new UsageError(`--name ${template}: ${flaw}`);
}

/** Why a template makes no names; undefined where it does. */
export function templateFlaw(template: string): string | undefined {
  const problem = templateProblem(template);
  return problem && `${problem}; write it like {id}.{ext} or {brand}/{id}-web.{ext}`;
}

function templateProblem(template: string): string | undefined {
  if (!template.trim()) return 'it is empty';
  if (/[{}]/.test(template.replaceAll(slot, ''))) return 'a brace has no partner';
  if (misplacesExtension(template)) return '{ext} can stand only once, at the end after a dot';
  return undefined;
}

/** The columns that a template names, but for `ext`. */
export function nameSlots(template: string): string[] {
  return [...template.matchAll(slot)].map((match) => match[1] ?? '').filter((name) => name !== 'ext');
}

/** The value of a column or field. */
type ValueOf = (name: string) => string;

/** Makes output names of rows' values. */
export interface NameMaker {
  /** A row's output name; it still has to pass `nameFlaw`. `{ext}` stays, since the answer decides it. */
  make(valueOf: ValueOf): string;
  /** The columns that leave a part of the name empty, as the template writes them; undefined where none is empty. */
  emptyPart(valueOf: ValueOf): string | undefined;
}

/** A part of a template between slashes. */
interface Segment {
  stem: string;
  ending: string;
  slots: string[];
}

export function createNameMaker(template: string): NameMaker {
  const segments = template.split(slashOutsideBraces).map(readSegment);
  return {
    make: (valueOf) => segments.map((segment) => fillSegment(segment, valueOf)).join('/'),
    emptyPart(valueOf) {
      const isEmpty = (segment: Segment): boolean =>
        ['', anyExtension].includes(fillSegment(segment, valueOf));
      const part = segments.find((segment) => segment.slots.length > 0 && isEmpty(segment));
      return part && [...new Set(part.slots)].map((name) => `{${name}}`).join(' and ');
    },
  };
}

function readSegment(segment: string): Segment {
  const ending = segment.endsWith(anyExtension) ? anyExtension : '';
  const stem = segment.slice(0, segment.length - ending.length);
  return { stem, ending, slots: nameSlots(stem) };
}

function fillSegment({ stem, ending, slots }: Segment, valueOf: ValueOf): string {
  const fill = (change: (value: string) => string): string =>
    stem.replaceAll(slot, (_, name: string) => change(valueOf(name)));
  const made = fill(sanitised);
  if (slots.length === 0 || Buffer.byteLength(made) <= longestMade) return made + ending;
  const hash = createHash('sha256').update(fill(String)).digest('hex').slice(0, 8);
  return `${cutToBytes(made, longestMade - 9)}-${hash}${ending}`;
}

const sanitised = (value: string): string => value.normalize('NFC').replaceAll(/[^\p{L}\p{Nd}._-]/gu, '_');

/** A streaming decoder keeps back the bytes of a code point that the cut went through. */
function cutToBytes(text: string, most: number): string {
  return new TextDecoder().decode(Buffer.from(text).subarray(0, most), { stream: true });
}

const misplacesExtension = (name: string): boolean => name.replace(/\.\{ext\}$/, '').includes('{ext}');

const deviceName = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])\s*(\.|$)/i;

/** Why a name can't be written below the output folder on every system; undefined where it can. */
export function nameFlaw(name: string): string | undefined {
  if (!name) return 'the name is empty';
  if (/\p{Cc}/u.test(name)) return 'the name holds a control character';
  if (name.includes('\\')) return 'the name holds a backslash: folders are separated by /';
  if (name.startsWith('/') || /^[a-z]:/i.test(name)) return 'the name leads out of the output folder';
  if (misplacesExtension(name)) return '{ext} can stand only once, at the end after a dot';
  if (Buffer.byteLength(name) > longestPath) return `the name is longer than ${longestPath} bytes`;
  const segments = name.split('/');
  if (/^(\.reshoot|report)$/i.test(segments[0] ?? '')) return `the folder "${segments[0]}" is reshoot's own`;
  return segments.map(segmentFlaw).find((flaw) => flaw !== undefined);
}

function segmentFlaw(segment: string): string | undefined {
  if (segment === '' || segment === anyExtension) return 'a part of the name is empty';
  if (segment === '..' || segment === '.') return 'the name leads out of its folder (. or ..)';
  if (/[. ]$/.test(segment)) return 'a part of the name ends with a dot or a space';
  if (deviceName.test(segment)) return `"${segment}" is a device on Windows`;
  const bytes = Buffer.byteLength(segment.replace(anyExtension, '.jpeg'));
  return bytes > longestSegment ? `a part of the name is longer than ${longestSegment} bytes` : undefined;
}

/** What names of pictures end with, also of those that the API doesn't take. */
export const pictureExtension = /\.(jpe?g|png|webp|gif|avif|tiff?|bmp|hei[cf]|jxl)$/i;

/** Equal for names that a disk which ignores case or Unicode form takes for one. Lower case first: ẞ is no upper ß. */
export const folded = (name: string): string =>
  name.normalize('NFC').toLowerCase().toUpperCase().normalize('NFC');

/** A folded name that stands for every picture extension, where it ends with one. */
const opened = (key: string): string => key.replace(pictureExtension, folded(anyExtension));

/**
 * Notices names that would write one file, or a file where another name needs a folder. A name that ends with `{ext}`
 * meets every picture extension.
 * @returns a function that takes a name with its row's line and says on which line the row that it meets is, if any
 */
export function createNameRegister(): (name: string, line: number) => number | undefined {
  const taken = new KeyTable();
  const withExtension = new KeyTable();
  const folders = new KeyTable();
  return (name, line) => {
    const key = folded(name);
    const open = name.endsWith(anyExtension) ? key : opened(key);
    const above = foldersOf(key).flatMap((folder) => [folder, opened(folder)]);
    const met =
      taken.get(key) ??
      (name.endsWith(anyExtension) ? withExtension.get(key) : taken.get(open)) ??
      folders.get(key) ??
      above.map((folder) => taken.get(folder)).find((line) => line !== undefined);
    keepFirst(taken, key, line);
    if (open !== key) keepFirst(withExtension, open, line);
    for (const folder of above) keepFirst(folders, folder, line);
    return met;
  };
}

function keepFirst(table: KeyTable, key: string, line: number): void {
  if (!table.has(key)) table.set(key, line);
}

function foldersOf(name: string): string[] {
  const parts = name.split('/');
  return parts.slice(1).map((_, at) => parts.slice(0, at + 1).join('/'));
}
