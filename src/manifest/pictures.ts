import { createHash } from 'node:crypto';
import type { Picture } from '../model.ts';
import {
  contentFlaw,
  createFileProbe,
  inspected,
  type FileProbing,
  type Found,
  type Inspected,
  type RowFiles,
} from './picture-files.ts';
import type { Flaw } from './problem.ts';

const mostUrls = 5;
const mostPictures = 10;

/** A row's pictures as far as they are sound, and what is wrong with the others. */
export interface PicturesOfCell {
  pictures: Picture[];
  /** What will be done to some of them before they are sent, in words. */
  changes: string[];
  flaws: Flaw[];
}

/** A row's cell of pictures. */
export interface PictureCell {
  id: string;
  cell: string;
}

/** What pictures are read with. */
export interface PictureReading extends FileProbing {
  /** Takes the content of each `data:` picture; a row names it `embedded:<sha256>`. */
  embedded(sha256: string, bytes: Buffer): void | Promise<void>;
}

/** @returns a function that reads the pictures of some rows' cells, separated by `|` */
export function createPictureReader({
  embedded,
  ...probing
}: PictureReading): (cells: PictureCell[]) => Promise<PicturesOfCell[]> {
  const lookAt = createFileProbe(probing);
  const readContent = async (part: string): Promise<Inspected> => {
    const content = readData(part);
    if (!Buffer.isBuffer(content)) return content;
    const sha256 = createHash('sha256').update(content).digest('hex');
    await embedded(sha256, content);
    const facts = { path: `embedded:${sha256}`, bytes: content.length, mtimeMs: 0, ino: 0 };
    const [said = []] = await probing.inspect([content]);
    return inspected({ kind: 'file', ...facts }, said);
  };
  const readPart = async (part: string, files: Map<string, Inspected>): Promise<Inspected> => {
    const address = readAddress(part);
    if (address) return 'kind' in address ? { picture: address, changes: [] } : address;
    return files.get(part) ?? readContent(part);
  };
  return async (cells) => {
    const rows = cells.map(({ id, cell }) => ({ id, parts: partsOf(cell) }));
    const areFew = ({ parts }: RowFiles): boolean => parts.length <= mostPictures;
    const filesOf = (parts: string[]): string[] =>
      parts.filter((part) => !/^data:/i.test(part) && !readAddress(part));
    const files = await lookAt(rows.filter(areFew).map(({ id, parts }) => ({ id, parts: filesOf(parts) })));
    const read: PicturesOfCell[] = [];
    for (const { parts } of rows) {
      const found: { part: string; found: Inspected }[] = [];
      for (const part of parts.slice(0, mostPictures))
        found.push({ part, found: await readPart(part, files) });
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

function together(parts: string[], found: { part: string; found: Inspected }[]): PicturesOfCell {
  if (parts.length === 0) return { pictures: [], changes: [], flaws: [noPicture] };
  if (parts.length > mostPictures) return { pictures: [], changes: [], flaws: [tooMany(parts.length)] };
  const sound = found.flatMap(({ found }) => ('picture' in found ? [found] : []));
  const flaws = found.flatMap(({ part, found }) => ('picture' in found ? [] : [{ value: part, ...found }]));
  const pictures = sound.map(({ picture }) => picture);
  const changes = new Set(sound.flatMap(({ changes }) => changes));
  return { pictures, changes: [...changes], flaws: [...flaws, ...setFlaws(pictures)] };
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
  return flaws;
}

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
