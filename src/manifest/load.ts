import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { printable, unquoteFormula } from '../cells.ts';
import { UsageError } from '../errors.ts';
import { knownColumns } from './columns.ts';
import { openCsv } from './csv.ts';
import { openDocument } from './document.ts';
import { openFolder, openGlob } from './folder.ts';
import { readJsonDocument } from './json-document.ts';
import { openJsonLines } from './json-lines.ts';
import type { ManifestOptions } from './options.ts';
import {
  openSource,
  nameOfManifest,
  openStandardInput,
  orUsage,
  standardInput,
  type Parts,
  type Source,
} from './source.ts';
import type { Table } from './table.ts';
import { openText, wholeText, type Text } from './text.ts';
import { openXlsx } from './xlsx.ts';
import { readYamlDocument } from './yaml-document.ts';

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
 * @throws UsageError where it can't be read, or is none of the known formats and no folder of pictures
 */
export async function loadTable(file: string, options: ManifestOptions): Promise<Loaded> {
  if (/^s3:\/\//i.test(file))
    throw new UsageError('a manifest on s3:// is not yet supported: download it first');
  if (file === standardInput) {
    if (options.format === undefined)
      throw new UsageError(`standard input: say what it is with --format, ${listed}`);
    return loadSource(await openStandardInput(), nameOfManifest(file), options);
  }
  const pictures = await openPictures(file);
  if (pictures) return { table: pictures, retry: false, expectUnchanged: () => Promise.resolve() };
  const facts = await orUsage(file, stat(file));

  if (!facts.isFile()) throw new UsageError(`${printable(file)} is no ordinary file: save it as a .csv file`);
  return loadSource(await openSource(file), file, options);
}

/** A folder of pictures, or a pattern of their names; undefined: neither. */
async function openPictures(file: string): Promise<Table | undefined> {
  const facts = await stat(file).catch(() => undefined);
  if (!facts) return openGlob(file);
  return facts.isDirectory() ? openFolder(file) : undefined;
}

async function loadSource(
  { bytes, expectUnchanged }: Source,
  file: string,
  options: ManifestOptions,
): Promise<Loaded> {
  const format = readFormat(file, options.format);
  const { open, holds } = format;
  const table = await open(bytes, printable(file), options);
  if (!table) throw new UsageError(`${printable(file)} is empty: write ${holds}`);
  const retry = format === csv && table.header.includes('error_code');
  return { table: retry ? withoutOutcome(table) : table, retry, expectUnchanged };
}

interface Format {
  open(bytes: Parts<Buffer>, file: string, options: ManifestOptions): Promise<Table | undefined>;
  /** What is expected in it. */
  holds: string;
}

const inText = (
  open: (text: Text, options: ManifestOptions) => Promise<Table | undefined>,
  holds: string,
): Format => ({
  open: async (bytes, file, options) => open(await openText(bytes, file, options.encoding), options),
  holds,
});

const csv = inText((text, { map }) => openCsv(text, knownColumns(map)), 'a header line and a line a row');
const jsonLines = inText(
  (text, { map }) => openJsonLines(text, map),
  'a JSON object a line, one for each row',
);
const document = (read: typeof readJsonDocument): Format =>
  inText(async (text, { map }) => {
    const found = read(await wholeText(text));
    return found && openDocument(found, map);
  }, 'a list of rows');
const yaml = document(readYamlDocument);
const xlsx: Format = {
  open: (bytes, file, { sheet, map }) => openXlsx(bytes, file, sheet, knownColumns(map)),
  holds: 'a header row and a row for each picture',
};

const formats = new Map<string, Format>([
  ['csv', csv],
  ['tsv', csv],
  ['jsonl', jsonLines],
  ['ndjson', jsonLines],
  ['json', document(readJsonDocument)],
  ['yaml', yaml],
  ['yml', yaml],
  ['xlsx', xlsx],
]);
const listed = [...formats.keys()].join(', ');

function readFormat(file: string, told: string | undefined): Format {
  const name = told ?? extname(file.replace(/\.gz$/i, '')).slice(1);
  const known = formats.get(name.toLowerCase());
  if (known) return known;
  const what = told === undefined ? printable(file) : `--format ${printable(told, 40)}`;
  throw new UsageError(`${what}: ${formatFlaw(name)}`);
}

/** Why manifests of a format, or with such an extension, can't be read; undefined where they can. */
export function formatFlaw(name: string): string | undefined {
  if (formats.has(name.toLowerCase())) return undefined;
  return `not a known format of manifests: if it is one of them under another name, add --format: ${listed}`;
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
