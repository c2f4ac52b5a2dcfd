import { createHash } from 'node:crypto';
import type { Picture } from '../model.ts';
import {
  contentFlaw,
  createFileProbe,
  inMegabytes,
  type Found,
  type IsKnown,
  type RowFiles,
} from './picture-files.ts';
import type { Flaw } from './problem.ts';

const largestBody = 40_000_000;
const mostUrls = 5;
const mostPictures = 10;

/** A row's pictures as far as they are sound, and what is wrong with the others. */
export interface PicturesOfCell {
  pictures: Picture[];
  flaws: Flaw[];
}

/** A row's cell of pictures. */
export interface PictureCell {
  id: string;
  cell: string;
}

/** What pictures are read with. */
export interface PictureReading {
  /** Where relative paths, and absolute ones that don't exist as such, start. */
  root: string;
  isKnown: IsKnown | undefined;
  /** Takes the content of each `data:` picture; a row names it `embedded:<sha256>`. */
  embedded(sha256: string, bytes: Buffer): void | Promise<void>;
}

/** @returns a function that reads the pictures of some rows' cells, separated by `|` */
export function createPictureReader({
  root,
  isKnown,
  embedded,
}: PictureReading): (cells: PictureCell[]) => Promise<PicturesOfCell[]> {
  const lookAt = createFileProbe(root, isKnown);
  const readContent = async (part: string): Promise<Found> => {
    const content = readData(part);
    if (!Buffer.isBuffer(content)) return content;
    const sha256 = createHash('sha256').update(content).digest('hex');
    await embedded(sha256, content);
    return { kind: 'file', path: `embedded:${sha256}`, bytes: content.length, mtimeMs: 0, ino: 0 };
  };
  return async (cells) => {
    const rows = cells.map(({ id, cell }) => ({ id, parts: partsOf(cell) }));
    const areFew = ({ parts }: RowFiles): boolean => parts.length <= mostPictures;
    const filesOf = (parts: string[]): string[] =>
      parts.filter((part) => !/^data:/i.test(part) && !readAddress(part));
    const files = await lookAt(rows.filter(areFew).map(({ id, parts }) => ({ id, parts: filesOf(parts) })));
    const read: PicturesOfCell[] = [];
    for (const { parts } of rows) {
      const found: { part: string; found: Found }[] = [];
      for (const part of parts.slice(0, mostPictures)) {
        found.push({ part, found: readAddress(part) ?? files.get(part) ?? (await readContent(part)) });
      }
      read.push(together(parts, found));
    }
    return read;
  };
}

const partsOf = (cell: string): string[] =>
  cell
    .split('|')
    .map((part) => part.trim())
    .filter((part) => part !== '');

function together(parts: string[], found: { part: string; found: Found }[]): PicturesOfCell {
  if (parts.length === 0) return { pictures: [], flaws: [noPicture] };
  if (parts.length > mostPictures) return { pictures: [], flaws: [tooMany(parts.length)] };
  const pictures = found.flatMap(({ found }) => ('kind' in found ? [found] : []));
  const flaws = found.flatMap(({ part, found }) => ('kind' in found ? [] : [{ value: part, ...found }]));
  return { pictures, flaws: [...flaws, ...setFlaws(pictures)] };
}

const noPicture: Flaw = {
  problem: 'the row has no picture',
  remedy: 'write the path or the http(s) address of its picture, or remove the row',
};

const tooMany = (count: number): Flaw => ({
  problem: `${count} pictures; the API takes at most ${mostPictures}`,
  remedy: 'keep the first: the API uses only that one',
});

/** What is wrong with pictures that are sound one by one. */
function setFlaws(pictures: Picture[]): Flaw[] {
  const urls = pictures.filter(({ kind }) => kind === 'url').length;
  const base64 = pictures.reduce(
    (sum, picture) => sum + (picture.kind === 'file' ? base64Length(picture.bytes) : 0),
    0,
  );
  const flaws: Flaw[] = [];
  if (urls > 0 && urls < pictures.length) {
    flaws.push({
      problem: 'the row mixes addresses and files; the API would silently ignore the addresses',
      remedy: 'use only addresses or only files in one row',
    });
  }
  if (urls > mostUrls) {
    flaws.push({
      problem: `${urls} addresses; the API takes at most ${mostUrls}`,
      remedy: 'keep the first: the API uses only that one',
    });
  }
  if (base64 > largestBody) {
    flaws.push({
      problem: `the row's pictures make a request of ${inMegabytes(base64)}; the API takes at most 40 MB`,
      remedy: 'use fewer or smaller pictures: the API uses only the first',
    });
  }
  return flaws;
}

const base64Length = (bytes: number): number => Math.ceil(bytes / 3) * 4;

/** What is no file: a web address, or what would be one. */
const readAddress = (part: string): Found | undefined =>
  /^https?:\/\//i.test(part) ? readUrl(part) : foreignScheme(part);

function readUrl(text: string): Found {
  if (/\s|,https?:/i.test(text)) {
    return {
      problem: 'several addresses, or one with a space in it',
      remedy: 'separate pictures with |; write a space as %20',
    };
  }
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url) {
    return { problem: 'this is no web address', remedy: 'write it like https://example.com/picture.jpg' };
  }
  if (url.username || url.password) {
    return {
      problem: 'the address holds a user name or password, which would be sent on and stored',
      remedy: 'use an address without them, or download the picture and write its path',
      value: `${url.protocol}//…@${url.host}${url.pathname}`,
    };
  }
  return { kind: 'url', url: /^[!-~]+$/.test(text) ? text : url.href };
}

function foreignScheme(text: string): Flaw | undefined {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase();
  if (!scheme) return undefined;
  return {
    problem: scheme === 's3' ? 's3:// pictures are not yet supported' : `${scheme}:// is no way to a picture`,
    remedy: 'download the picture and write its path, or give an http(s) address',
  };
}

function readData(uri: string): Buffer | Flaw {
  const comma = uri.indexOf(',');
  const text = uri.slice(comma + 1).replaceAll(/\s/g, '');
  if (!/;base64$/i.test(uri.slice(0, comma)) || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
    return {
      problem: 'the data: picture is not in base64, or is cut',
      remedy: 'save the picture as a file and write its path',
    };
  }
  const content = Buffer.from(text, 'base64');
  return contentFlaw(content.length, content) ?? content;
}
