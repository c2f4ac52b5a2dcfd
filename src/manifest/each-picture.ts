import { KeyTable } from '../key-table.ts';
import type { Columns } from './columns.ts';
import type { Problem } from './problem.ts';
import type { Table, TableRecord } from './table.ts';

/**
 * The table with a row for every picture: those of one cell, and those of lines with one id, which become `id`, `id-2`,
 * `id-3` … in the table's order. What a further line of a product leaves empty is that of its first; lines without a
 * picture, a shop's variants, are left out.
 */
export function eachPicture(table: Table, { of: { id, image } }: Pick<Columns, 'of'>): Table {
  if (image === undefined) return table;
  let bare = 0;
  return {
    ...table,
    get notes() {
      return [...(table.notes ?? []), ...(bare > 0 ? [leftOut(bare)] : [])];
    },
    async *records(found) {
      const counts = new KeyTable();
      const filled = createFiller(id, image);
      let without = 0;
      const spread = (record: TableRecord): TableRecord[] => {
        if (record.flaw) return [record];
        const cells = filled(record.cells);
        const given = idIn(cells, id);
        const pictures = splitPictures(cells[image] ?? '');
        if (pictures.length === 0) without++;
        return pictures.map((picture) => {
          const own = cells.with(image, picture);
          if (given === '' || id === undefined) return withCells(record, own);
          const count = (counts.get(given) ?? 0) + 1;
          counts.set(given, count);
          return withCells(record, count === 1 ? own : own.with(id, `${given}-${count}`));
        });
      };
      for await (const records of table.records(found)) yield records.flatMap(spread);
      bare = without;
    },
  };
}

const withCells = ({ line, file }: TableRecord, cells: string[]): TableRecord =>
  file === undefined ? { line, cells } : { line, file, cells };

const idIn = (cells: string[], id: number | undefined): string =>
  id === undefined ? '' : (cells[id] ?? '').trim();

/** Fills a product's further lines, which follow the first, from that. */
function createFiller(id: number | undefined, image: number): (cells: string[]) => string[] {
  let first: string[] = [];
  return (cells) => {
    const given = idIn(cells, id);
    if (given === '' || given !== idIn(first, id)) {
      first = cells;
      return cells;
    }
    return Array.from({ length: Math.max(first.length, cells.length) }, (_, at) => {
      const own = cells[at] ?? '';
      return own !== '' || at === image ? own : (first[at] ?? '');
    });
  };
}

const leftOut = (lines: number): Problem => ({
  problem: `${lines} ${lines === 1 ? 'line' : 'lines'} without a picture left out`,
  remedy: 'nothing, if they are variants of products whose pictures stand elsewhere',
});

/** Shops separate addresses by commas, and names of files too. */
function splitPictures(cell: string): string[] {
  return cell
    .split('|')
    .flatMap((part) => {
      const text = part.trim();
      if (/^https?:\/\//i.test(text)) return text.split(/,\s*(?=https?:\/\/)/i);
      const names = text.split(/\s*,\s*/);
      return names.every((name) => /\.[a-z]{3,4}$/i.test(name)) ? names : [text];
    })
    .map((text) => text.trim())
    .filter((text) => text !== '');
}
