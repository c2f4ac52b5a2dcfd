import { crc32 } from 'node:zlib';
import { Column } from '../column.ts';
import { KeyTable } from '../key-table.ts';
import type { Call } from './call.ts';
import type { RecordFiles } from './files.ts';
import { lineBlocks } from './lines.ts';

/**
 * A line a row, derived from its records, so that a start reads one file instead of as many as there are rows; and a line
 * a bucket of rows, which says that all of them have theirs. Version 2.
 */
export const indexName = '.reshoot/index.jsonl';

/** What is known of a line's calls without reading them. */
export interface LineFacts {
  /** When its last call was started, epoch milliseconds, and by which run. */
  at: number;
  run: string;
  /** Calls that brought a picture. */
  pictures: number;
}

/** What the beginning of a line tells without reading the rest of it. */
export interface LineHead extends LineFacts {
  /** Names the row's folder of records. */
  key: string;
  /** When that folder last changed, epoch milliseconds: the line is believed only while this holds. */
  changedMs: number;
}

/** What the line of a bucket says: while the bucket's folder bears this date, all its rows' lines are true. */
export interface BucketLine {
  bucket: string;
  changedMs: number;
}

const bucketLine = /^\{"v":2,"bucket":"([0-9a-f]{2})","changed_ms":([\d.]+)\}$/;

function readBucketLine(line: Buffer): BucketLine | undefined {
  const [, bucket, changed] = bucketLine.exec(line.toString('latin1', 0, longestHead)) ?? [];
  return bucket === undefined ? undefined : { bucket, changedMs: Number(changed) };
}

/** A bucket's line with its end. */
export const toBucketLine = ({ bucket, changedMs }: BucketLine): string =>
  `${JSON.stringify({ v: 2, bucket, changed_ms: changedMs })}\n`;

/** Longer than the head of any line. */
const longestHead = 300;
const head =
  /^\{"v":2,"key":"([0-9a-f]{40})","changed_ms":([\d.]+),"at":(\d+),"run":"([\w-]{1,60})","pictures":(\d+),"crc":(\d+),"calls":/;

/** @param line its bytes without the end; undefined: it is of another version, or damaged */
export function readHead(line: Buffer): LineHead | undefined {
  const found = head.exec(line.toString('latin1', 0, longestHead));
  if (!found) return undefined;
  const [, key = '', changed, at, run = '', pictures] = found;
  return { key, changedMs: Number(changed), at: Number(at), run, pictures: Number(pictures) };
}

/**
 * The calls of a line, if it is that row's and every bit of it as it was written. What is written was read from records
 * that were checked one by one.
 */
export function readCalls(line: Buffer, key: string): Call[] | undefined {
  const found = head.exec(line.toString('latin1', 0, longestHead));
  if (found?.[1] !== key) return undefined;
  const calls = line.subarray(found[0].length, -1);
  return crc32(calls) === Number(found[6]) ? (JSON.parse(calls.toString('utf8')) as Call[]) : undefined;
}

/** A row's line with its end. */
export function toLine(key: string, changedMs: number, calls: Call[]): string {
  const last = calls.at(-1);
  const pictures = calls.filter((call) => call.closed?.picture).length;
  const at = last ? Date.parse(last.started_at) : 0;
  const text = JSON.stringify(calls);
  const start = { v: 2, key, changed_ms: changedMs, at, run: last?.run ?? '', pictures, crc: crc32(text) };
  return `${JSON.stringify(start).slice(0, -1)},"calls":${text}}\n`;
}

/** Where each row's line stands in the index: a few dozen bytes a row. */
export interface Index {
  /** A row's key → the number of its line, from 0. */
  lines: KeyTable;
  count: number;
  columns: Columns;
  /** Runs that some line names, by their numbers in `columns`. */
  runs: string[];
  /** The date of each bucket that has a line of its own. */
  buckets: Map<string, number>;
  /** Tells one state of the file from another. */
  state: string;
}

/** What is kept of each line, by its number. */
interface Columns {
  from: Column;
  length: Column;
  changedMs: Column;
  /** The number of its bucket. */
  bucket: Column;
  at: Column;
  run: Column;
  pictures: Column;
}

const createColumns = (): Columns => ({
  from: new Column(Float64Array),
  length: new Column(Uint32Array),
  changedMs: new Column(Float64Array),
  bucket: new Column(Uint8Array),
  at: new Column(Float64Array),
  run: new Column(Uint32Array),
  pictures: new Column(Uint32Array),
});

/** Where a line stands, without its end. */
export function spanOf({ columns }: Index, line: number): { from: number; length: number } {
  return { from: columns.from.at(line), length: columns.length.at(line) };
}

export function factsOf({ columns, runs }: Index, line: number): LineFacts {
  const { at, run, pictures } = columns;
  return { at: at.at(line), run: runs[run.at(line)] ?? '', pictures: pictures.at(line) };
}

/** What the index's file is now; '' where there is none. */
export async function indexState(files: RecordFiles): Promise<string> {
  const facts = await files.stat(indexName);
  return facts ? `${facts.bytes}.${facts.changedMs}` : '';
}

export async function loadIndex(files: RecordFiles): Promise<Index> {
  for (;;) {
    const index = await readIndex(files, await indexState(files));
    // Of two files each read in part, some row's line may be in neither part.
    if ((await indexState(files)) === index.state) return index;
  }
}

async function readIndex(files: RecordFiles, state: string): Promise<Index> {
  const index: Index = {
    lines: new KeyTable(),
    count: 0,
    columns: createColumns(),
    runs: [],
    buckets: new Map(),
    state,
  };
  if (state === '') return index;
  const runs = new Map<string, number>();
  let isDamaged = false;
  for await (const block of lineBlocks(files, indexName)) {
    for (const { from, bytes } of block) {
      const found = readHead(bytes);
      // Versions before could write a line twice.
      if (found && !index.lines.has(found.key))
        add(index, found, from, bytes.length, numberOf(found.run, runs));
      const whole = found ? undefined : readBucketLine(bytes);
      if (whole) index.buckets.set(whole.bucket, whole.changedMs);
      isDamaged ||= !found && !whole;
    }
  }
  // Some row may have lost its line, and without it would look like one that never had a call.
  if (isDamaged) index.buckets.clear();
  index.runs = [...runs.keys()];
  return index;
}

function numberOf(run: string, runs: Map<string, number>): number {
  const known = runs.get(run);
  if (known !== undefined) return known;
  runs.set(run, runs.size);
  return runs.size - 1;
}

function add(index: Index, head: LineHead, from: number, length: number, run: number): void {
  const { columns } = index;
  columns.from.push(from);
  columns.length.push(length);
  columns.changedMs.push(head.changedMs);
  columns.bucket.push(Number.parseInt(head.key.slice(0, 2), 16));
  columns.at.push(head.at);
  columns.run.push(run);
  columns.pictures.push(head.pictures);
  index.lines.set(head.key, index.count);
  index.count += 1;
}
