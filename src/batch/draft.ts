import { createHash } from 'node:crypto';
import { Column } from '../column.ts';
import { KeyTable } from '../key-table.ts';
import type { Row } from '../model.ts';
import { planLine, readRow } from '../records/runs.ts';
import { createScratch } from '../scratch.ts';
import { createFolders, type Folders } from './folders.ts';

/** What a plan is made from. */
export interface PlanSource {
  readonly rows: number;
  /** Rows that are to be done: chosen, and valid. */
  readonly chosen: number;
  /** Rows that were found done, their pictures at their names. */
  readonly done: readonly number[];
  /** Where those pictures are. */
  readonly folders: Folders;
  /** All rows in order, as a plan's lines. */
  lines(): Iterable<Buffer> | AsyncIterable<Buffer>;
  /** sha256 of what is asked for: equal drafts make one plan. Lines' numbers and what stands in the way aren't asked for. */
  asked(): string;
  close(): void;
}

/** A manifest's rows on their way to a plan: what was checked is what is planned. */
export interface Draft extends PlanSource {
  /** Some picture stood in the manifest itself. */
  readonly hasEmbedded: boolean;
  add(row: Row, isDone?: boolean): void;
  embed(sha256: string, bytes: Buffer): void;
  /** The content of a `data:` picture. */
  embedded(sha256: string): Buffer | undefined;
  /** All rows in order. */
  all(): Iterable<Row>;
  /** Finds rows by their ids. */
  byId(): (id: string) => Row | undefined;
}

export function createDraft(): Draft {
  const lines = createScratch();
  const contents = createScratch();
  /** Where a content's length stands, four bytes before it. */
  const places = new KeyTable();
  const all = createHash('sha256');
  const sized = Buffer.alloc(4);
  const done = new Column(Uint32Array);
  const folders = createFolders();
  let count = 0;
  let chosen = 0;

  function* rows(): Iterable<Row> {
    for (const line of lines.lines()) yield readRow(line);
  }

  return {
    get rows() {
      return count;
    },
    get chosen() {
      return chosen;
    },
    get done() {
      return Array.from({ length: done.length }, (_, at) => done.at(at));
    },
    folders,
    get hasEmbedded() {
      return places.size > 0;
    },
    add(row, isDone = false) {
      const { text, asked } = planLine(row);
      lines.append(text);
      count += 1;
      all.update(asked);
      if (row.selected && row.invalid === undefined) chosen += 1;
      if (!isDone) return;
      done.push(row.row);
      folders.note(row);
    },
    embed(sha256, bytes) {
      if (places.has(sha256)) return;
      sized.writeUInt32LE(bytes.length);
      places.set(sha256, contents.appendBytes(Buffer.from(sized)));
      contents.appendBytes(bytes);
    },
    embedded(sha256) {
      const at = places.get(sha256);
      return at === undefined ? undefined : contents.read(at + 4, contents.read(at, 4).readUInt32LE());
    },
    lines: () => lines.blocks(),
    all: rows,
    byId() {
      const places = new KeyTable();
      /** Where each row's line begins, and where the last one ends. */
      const starts = [0];
      let end = 0;
      for (const line of lines.lines()) {
        places.set(readRow(line).id, starts.length - 1);
        starts.push((end += Buffer.byteLength(line) + 1));
      }
      return (id) => {
        const at = places.get(id);
        if (at === undefined) return undefined;
        const [from = 0, to = end] = [starts[at], starts[at + 1]];
        const row = readRow(lines.read(from, to - from));
        return row.id === id ? row : undefined;
      };
    },
    asked: () => all.copy().digest('hex'),
    close() {
      lines.close();
      contents.close();
    },
  };
}
