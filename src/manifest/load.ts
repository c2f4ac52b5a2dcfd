import { readFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { printable, unquoteFormula } from '../cells.ts';
import { systemCode, toError, UsageError } from '../errors.ts';
import { knownColumns } from './columns.ts';
import { readFolder } from './folder.ts';
import { parseJsonLines } from './json-lines.ts';
import type { ManifestOptions } from './options.ts';
import { parseTable, type Table } from './table.ts';
import { readText } from './text.ts';

const megabyte = 1024 * 1024;
const largestFile = 256 * megabyte;
const promised = new Set(['json', 'yaml', 'yml', 'xlsx', 'gz']);

/**
 * The manifest as a table, and whether it is a failed.csv of reshoot's.
 * @throws UsageError where it can't be read, or is no CSV, TSV, JSON Lines or folder of pictures
 */
export async function loadTable(
  file: string,
  options: ManifestOptions,
): Promise<{ table: Table; retry: boolean }> {
  if (file === '-')
    throw new UsageError('a manifest on standard input is not yet supported: give a .csv file');
  if (/^s3:\/\//i.test(file))
    throw new UsageError('a manifest on s3:// is not yet supported: download it first');
  const facts = await orUsage(file, stat(file));
  if (facts.isDirectory()) return { table: await readFolder(file), retry: false };
  const isJson = readFormat(file, options.format) === 'jsonl';
  if (!facts.isFile()) throw new UsageError(`${printable(file)} is no ordinary file: save it as a .csv file`);
  if (facts.size > largestFile) throw new UsageError(tooLarge(file, facts.size));
  const text = readText(await orUsage(file, readFile(file)), printable(file), options.encoding);
  const table = isJson ? parseJsonLines(text, options.map) : parseTable(text, knownColumns(options.map));
  if (table.header.length + table.problems.length + table.records.length === 0) {
    const what = isJson ? 'a JSON object a line, one for each row' : 'a header line and a line a row';
    throw new UsageError(`${printable(file)} is empty: write ${what}`);
  }
  const retry = !isJson && table.header.includes('error_code');
  return { table: retry ? withoutOutcome(table) : table, retry };
}

async function orUsage<T>(file: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    const problem = systemCode(error) === 'ENOENT' ? 'there is no such file' : toError(error).message;
    throw new UsageError(`${printable(file)}: ${printable(problem)}: check the manifest's path and rights`);
  }
}

const tooLarge = (file: string, size: number): string =>
  `${printable(file)} has ${Math.ceil(size / megabyte)} MB, more than 256 MB: split it, or write paths instead of data: pictures`;

function readFormat(file: string, format: string | undefined): 'csv' | 'jsonl' {
  const name = (format ?? extname(file).slice(1)).toLowerCase();
  const known = formats.get(name);
  if (known) return known;
  const what = format === undefined ? printable(file) : `--format ${printable(format, 40)}`;
  throw new UsageError(`${what}: ${formatFlaw(name)}`);
}

const formats = new Map<string, 'csv' | 'jsonl'>([
  ['csv', 'csv'],
  ['tsv', 'csv'],
  ['jsonl', 'jsonl'],
  ['ndjson', 'jsonl'],
]);

/** Why manifests of a format, or with such an extension, can't be read; undefined where they can. */
export function formatFlaw(name: string): string | undefined {
  if (formats.has(name.toLowerCase())) return undefined;
  if (promised.has(name.toLowerCase())) {
    return 'manifests in this format are not yet supported: save it as .csv or .jsonl';
  }
  return (
    'not a known format of manifests: if it is a table in text form, add --format csv, ' +
    `--format tsv (Excel's "Unicode text") or --format jsonl`
  );
}

/** The table as it was before reshoot added its outcome and made it safe for spreadsheets. */
function withoutOutcome(table: Table): Table {
  const names = table.header.map(unquoteFormula);
  const kept = <T>(cells: T[]): T[] => cells.filter((_, at) => !names[at]?.startsWith('error_'));
  return {
    ...table,
    header: kept(names),
    records: table.records.map((record) => ({ ...record, cells: kept(record.cells.map(unquoteFormula)) })),
  };
}
