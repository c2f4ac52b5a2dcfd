import type { Flaw } from './problem.ts';

export const mostColumns = 1000;
export const mostCell = 1024 * 1024;
/** Bytes of a row as it is written: what the API takes, and then some. */
export const mostRecord = 50_000_000;
const mostDataUri = 12 * 1024 * 1024;

/** Longer than anything that is meant as text or as an embedded picture. */
export function isOversized(cell: string): boolean {
  if (cell.length <= mostCell) return false;
  if (!cell.trimStart().startsWith('data:')) return true;
  return cell.split('|').some((uri) => uri.length > mostDataUri);
}

export const longCell: Flaw = {
  problem: 'the cell is longer than 1 MB (a data: picture: 12 MB)',
  remedy: 'save the picture as a file and write its path, or shorten the text',
};
