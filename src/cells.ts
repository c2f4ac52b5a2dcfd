/**
 * A table's cells against spreadsheets' formulas. The report quotes, the manifest's reader undoes it in tables that
 * reshoot wrote itself.
 */

const formula = /(^|[\r\n])'*(?:[\s\u00A0]*[=+\-@\uFF0B\uFF0D\uFF1D\uFF20]|[\t\r])/;
const plainNumber = /^[+-]?\d+([.,]\d+)*$/;

const wouldRun = (cell: string): boolean => formula.test(cell) && !plainNumber.test(cell);

/** A cell that a spreadsheet would run as a formula gets a leading `'`; numbers stay numbers. */
export function quoteFormula(cell: string): string {
  return wouldRun(cell) ? `'${cell}` : cell;
}

/** The inverse of `quoteFormula`, for every cell. */
export function unquoteFormula(cell: string): string {
  return cell.startsWith("'") && wouldRun(cell.slice(1)) ? cell.slice(1) : cell;
}

const unprintable = /[\u0000-\u001F\u007F-\u009F\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]/g;

/** Text of others, made safe for a terminal and short enough for a line: controls and bidi marks as `\u….`. */
export function printable(text: string, most = 500): string {
  const safe = text.replaceAll(unprintable, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  return safe.length > most ? `${safe.slice(0, most)}…` : safe;
}
