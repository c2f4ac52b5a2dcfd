import { createHash } from 'node:crypto';
import type { Dirent } from 'node:fs';
import { lstat, opendir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import picomatch from 'picomatch';
import { printable } from '../cells.ts';
import { systemCode, UsageError } from '../errors.ts';
import { KeyTable } from '../key-table.ts';
import { createLongList, type LongList } from '../long-list.ts';
import { createNameMaker, folded, pictureExtension } from './names.ts';
import { byName, createPathSorter, type PathSorter } from './path-sorter.ts';
import { problemAt, type Flaw, type Problem } from './problem.ts';
import type { Table, TableRecord } from './table.ts';

/** What systems and programs leave in folders of pictures. */
const litter = /^(\..*|thumbs\.db|desktop\.ini|__macosx|@eadir)$/i;
const longestId = 200;
/** Entries that are handled together. */
const together = 1000;
/** Characters of paths that are sorted in memory. */
const mostHeld = 8_000_000;

/** What a folder holds, as paths below it. */
interface Found {
  pictures: PathSorter;
  /** Files that are no pictures by their name. */
  others: LeftOut;
  links: LeftOut;
  /** Folders that reshoot wrote into: their pictures are results. */
  outputs: LeftOut;
}

/** A picture below the folder. */
interface Named {
  path: string;
  id: string;
}

/** How many were left out, and the first of them by name. */
interface LeftOut {
  count: number;
  first: string;
}

/** The pictures of a glob pattern such as `photos/**\/*.jpg` as a table; undefined: it is no pattern. @throws as `openFolder` */
export async function openGlob(pattern: string): Promise<Table | undefined> {
  const { base, glob, isGlob } = picomatch.scan(pattern);
  if (!isGlob) return undefined;
  return openFolder(base === '' ? '.' : base, picomatch(glob));
}

/**
 * All pictures of a folder and the folders in it as a table: a record a picture, by name, numbers in names by their value.
 * @param isWanted by its path below the folder; others are passed over
 * @throws UsageError where it can't be read, is an output of reshoot's, or has no pictures
 */
export async function openFolder(
  folder: string,
  isWanted: (path: string) => boolean = () => true,
): Promise<Table> {
  const none: LeftOut = { count: 0, first: '' };
  const found: Found = {
    pictures: createPathSorter(mostHeld),
    others: { ...none },
    links: { ...none },
    outputs: { ...none },
  };
  if (await isOutput(folder)) {
    throw new UsageError(
      `${printable(folder)} is an output of reshoot's, so its pictures are results: name the folder of the originals`,
    );
  }
  await walk(folder, '', found, isWanted);
  const pictures = named(found.pictures.drain());
  const notes = notesOn(found);
  if (pictures.length === 0) {
    const why = notes.map(({ problem }) => `; ${problem}`).join('');
    throw new UsageError(
      `${printable(folder)}: there is no picture in this folder${why}: put JPEG, PNG or WebP files into it`,
    );
  }
  return {
    header: ['id', 'image', 'folder', 'file'],
    line: 1,
    problems: [],
    notes,
    folder,
    records: () => readRecords(pictures),
    placeAt: (line) => ({ file: pictures.at(line - 1)?.path }),
    close: () => pictures.close(),
  };
}

/** With their ids: what tells which of them are taken isn't needed any more when the rows are read. */
function named(paths: Iterable<string>): LongList<Named> {
  const pictures = createLongList<Named>();
  const idOf = createNamer();
  for (const path of paths) pictures.push({ path, id: idOf(path) });
  return pictures;
}

async function* readRecords(pictures: Iterable<Named>): AsyncGenerator<TableRecord[]> {
  let line = 0;
  let records: TableRecord[] = [];
  for (const picture of pictures) {
    records.push(toRecord(picture, ++line));
    if (records.length < together) continue;
    yield records;
    records = [];
  }
  yield records;
}

async function walk(
  root: string,
  below: string,
  found: Found,
  isWanted: (path: string) => boolean,
): Promise<void> {
  const folders: string[] = [];
  for await (const entry of list(join(root, below))) {
    if (litter.test(entry.name)) continue;
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    // A link can lead anywhere, or to a picture that is read anyway.
    if (entry.isDirectory()) folders.push(path);
    else if (!isWanted(path)) continue;
    else if (entry.isSymbolicLink()) leaveOut(found.links, path);
    else if (entry.isFile() && pictureExtension.test(entry.name)) found.pictures.add(path);
    else leaveOut(found.others, path);
  }
  for (const path of folders) {
    if (await isOutput(join(root, path))) leaveOut(found.outputs, path);
    else await walk(root, path, found, isWanted);
  }
}

const isOutput = async (folder: string): Promise<boolean> =>
  lstat(join(folder, '.reshoot')).then(
    () => true,
    () => false,
  );

/** One after the other: a list of a million entries would take more memory than all their names. */
async function* list(folder: string): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(folder, { bufferSize: together });
  } catch (error) {
    const code = systemCode(error) ?? 'unknown error';
    throw new UsageError(`${printable(folder)}: the folder cannot be read (${code}): check its rights`);
  }
}

function leaveOut(kind: LeftOut, path: string): void {
  if (kind.count === 0 || byName(path, kind.first) < 0) kind.first = path;
  kind.count++;
}

function notesOn({ others, links, outputs }: Found): Problem[] {
  return [
    leftOut(
      others,
      'no picture by its name',
      'pictures end in .jpg, .jpeg, .png, .webp, .tif, .gif, .avif or .heic',
    ),
    leftOut(links, 'a link', 'copy the pictures themselves into the folder, or write their paths into a CSV'),
    leftOut(outputs, "a folder of reshoot's results", 'nothing needs to be done'),
  ].flat();
}

function leftOut({ count, first }: LeftOut, what: string, remedy: string): Problem[] {
  if (count === 0) return [];
  const rest = count > 1 ? ` (and ${count - 1} more of the kind)` : '';
  return [problemAt({}, { problem: `"${printable(first, 80)}" is left out: it is ${what}${rest}`, remedy })];
}

/**
 * A picture's id is its path without the extension, so that it stays the same whatever else comes into the folder. Only
 * where that is taken, or would make the same output name, it is the whole path.
 * @returns a function that gives the ids of pictures one after the other
 */
function createNamer(): (path: string) => string {
  const taken = new KeyTable();
  const maker = createNameMaker('{id}');
  const keyOf = (id: string): string => folded(maker.make(() => id));
  return (path) => {
    const whole = shortened(path.normalize('NFC').replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '_'));
    const stem = whole.replace(pictureExtension, '').trim();
    let id = stem === '' ? whole : stem;
    for (let count = 1; taken.has(keyOf(id)); count++) id = count === 1 ? whole : `${whole}-${count}`;
    taken.set(keyOf(id), 1);
    return id;
  };
}

function shortened(path: string): string {
  if (path.length <= longestId) return path;
  const hash = createHash('sha256').update(path).digest('hex').slice(0, 8);
  return `${Array.from(path)
    .slice(0, longestId - 9)
    .join('')}-${hash}`;
}

function toRecord({ path, id }: Named, line: number): TableRecord {
  const folder = dirname(path);
  // Cells are trimmed, and data: would begin a picture's content.
  const image = /^(\s|data:)/i.test(path) ? `./${path}` : path;
  const record: TableRecord = {
    line,
    file: path,
    cells: [id, image, folder === '.' ? '' : folder, basename(path)],
  };
  const flaw = nameFlaw(path);
  if (flaw) record.flaw = problemAt({ file: path }, flaw);
  return record;
}

function nameFlaw(path: string): Flaw | undefined {
  const remedy = 'rename the file or its folder';
  if (path.includes('|')) return { problem: 'the path holds |, which separates pictures', remedy };
  return path.includes('\uFFFD') ? { problem: "the file's path is not UTF-8", remedy } : undefined;
}
