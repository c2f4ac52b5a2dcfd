import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { printable, unquoteFormula } from '../cells.ts';
import { UsageError } from '../errors.ts';
import { knownColumns } from './columns.ts';
import { openCsv } from './csv.ts';
import { openFolder } from './folder.ts';
import { openJsonLines } from './json-lines.ts';
import type { ManifestOptions } from './options.ts';
import { openSource, orUsage } from './source.ts';
import type { Table } from './table.ts';
import { openText } from './text.ts';

const promised = new Set(['json', 'yaml', 'yml', 'xlsx', 'gz']);

/** A manifest that can be read. */
export interface Loaded {
  table: Table;
  /** It is a failed.csv of reshoot's. */
  retry: boolean;
  /** @throws UsageError where it isn't any more what it was when it was opened */
  expectUnchanged(): Promise<void>;
}

/**
 * The manifest as a table, of which only the header was read.
 * @throws UsageError where it can't be read, or is no CSV, TSV, JSON Lines or folder of pictures
 */
export async function loadTable(file: string, options: ManifestOptions): Promise<Loaded> {
  if (file === '-')
    throw new UsageError('a manifest on standard input is not yet supported: give a .csv file');
  if (/^s3:\/\//i.test(file))
    throw new UsageError('a manifest on s3:// is not yet supported: download it first');
  const facts = await orUsage(file, stat(file));
  if (facts.isDirectory()) {
    return { table: await openFolder(file), retry: false, expectUnchanged: () => Promise.resolve() };
  }
  const isJson = readFormat(file, options.format) === 'jsonl';
  if (!facts.isFile()) throw new UsageError(`${printable(file)} is no ordinary file: save it as a .csv file`);
  const { bytes, expectUnchanged } = await openSource(file);
  const text = await openText(bytes, printable(file), options.encoding);
  const open = isJson ? openJsonLines(text, options.map) : openCsv(text, knownColumns(options.map));
  const table = await open;
  if (!table) {
    const what = isJson ? 'a JSON object a line, one for each row' : 'a header line and a line a row';
    throw new UsageError(`${printable(file)} is empty: write ${what}`);
  }
  const retry = !isJson && table.header.includes('error_code');
  return { table: retry ? withoutOutcome(table) : table, retry, expectUnchanged };
}

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
    async *records(found) {
      for await (const records of table.records(found)) {
        for (const record of records) record.cells = kept(record.cells.map(unquoteFormula));
        yield records;
      }
    },
  };
}
