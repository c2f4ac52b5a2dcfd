import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { type BookedCall, createCallsCsv, runsCsv } from './books.ts';
import { failedCsv } from './failed.ts';
import { pageHtml } from './page.ts';
import { choosePageRows, type PageRows } from './page-rows.ts';
import { resultsCsv, resultsJsonl } from './results.ts';
import { resultOf, type ReportRow, type ResultRow } from './rows.ts';
import { createTally, type RunFacts, type Summary } from './summary.ts';
import type { Table } from './table.ts';

/** What a report is made from; rows and calls are handed over one by one, so that they need not be held in memory. */
export interface ReportInput {
  run: RunFacts;
  /** The rows of the latest manifest, in its order. */
  rows: () => AsyncIterable<ReportRow>;
  /** Those of them that are wanted, with their thumbnails; none is wanted after the row numbered `last`. */
  pageRows: (wanted: (row: number) => boolean, last: number) => Promise<AsyncIterable<ReportRow>>;
  /** Calls into this output of rows that have left the manifest or are left out as invalid; asked for when `rows` are through. */
  otherCalls: () => AsyncIterable<BookedCall>;
  /** The summaries of other runs into this output; one of the same run is replaced. */
  runs: readonly Summary[];
}

/** Replaces the file of this name in the report's folder, whole or not at all. */
export type Put = (name: string, content: AsyncIterable<string | Buffer> | string) => Promise<void>;

/** Writes all files of the report; `summary.json` comes last, so that its presence means a whole report. */
export async function writeReport(input: ReportInput, put: Put): Promise<Summary> {
  const { columns } = input.run;
  const tally = createTally(input.run);
  const chosen = choosePageRows();
  const tables = {
    'results.jsonl': resultsJsonl(),
    'results.csv': resultsCsv(columns),
    'failed.csv': failedCsv(columns),
  };
  const calls = createCallsCsv();
  const book = (call: BookedCall): void => {
    tally.book(call);
    calls.add(call);
  };
  try {
    const noted = noting(input.rows(), (row) => {
      tally.add(row);
      chosen.add(row);
      if (row.status !== 'invalid') for (const call of row.calls) book({ ...call, id: row.row.id });
    });
    await putTogether(tables, noted, put);
    for await (const call of input.otherCalls()) book(call);
    await put('calls.csv', blocks(calls.lines()));
  } finally {
    calls.close();
  }
  return writeRest(input, tally.summary(), chosen, put);
}

/** What is made of the summary, and the page. */
export async function writeRest(
  input: Pick<ReportInput, 'run' | 'runs' | 'pageRows'>,
  summary: Summary,
  chosen: PageRows,
  put: Put,
): Promise<Summary> {
  const { columns } = input.run;
  const others = input.runs.filter(({ run }) => run !== summary.run);
  await put('runs.csv', runsCsv([...others, summary]));
  const shown = await input.pageRows(chosen.wanted(), chosen.last());
  await put('index.html', blocks(pageHtml(shown, { summary, columns, left: chosen.left() })));
  await put('summary.json', `${JSON.stringify(summary, null, 2)}\n`);
  return summary;
}

async function* noting(
  rows: AsyncIterable<ReportRow>,
  note: (row: ReportRow) => void,
): AsyncIterable<ResultRow> {
  for await (const row of rows) {
    note(row);
    yield { of: row, result: resultOf(row) };
  }
}

const blockLength = 65_536;

/** Writes several files at once from one pass over the rows. */
export async function putTogether<Item>(
  tables: Record<string, Table<Item>>,
  rows: AsyncIterable<Item>,
  put: Put,
): Promise<void> {
  const files = Object.entries(tables).map(([name, table]) => {
    const text = new PassThrough();
    // Its error is told by the one who made it, also where nobody reads the text any more.
    text.on('error', () => undefined);
    // Whoever fails first has the word; the others end with it.
    const written = put(name, text).catch((error: unknown) => {
      text.destroy();
      throw error;
    });
    return { table, text, written, block: table.head };
  });
  const allWritten = Promise.all(files.map(({ written }) => written));
  const failed = allWritten.then(() => undefined);
  failed.catch(() => undefined);
  const flush = async (file: (typeof files)[number]): Promise<void> => {
    const { text, block } = file;
    file.block = '';
    if (block !== '' && !text.write(block)) await Promise.race([once(text, 'drain'), failed]);
  };
  try {
    for await (const row of rows) {
      for (const file of files) {
        file.block += file.table.line(row);
        if (file.block.length > blockLength) await flush(file);
      }
    }
    for (const file of files) {
      await flush(file);
      file.text.end();
    }
  } catch (error) {
    for (const { text } of files) text.destroy(error as Error);
    await Promise.allSettled(files.map(({ written }) => written));
    throw error;
  }
  await allWritten;
}

/** Lines joined to blocks of about 64 KB, or a million rows would be as many writes. */
async function* blocks(lines: AsyncIterable<string> | Iterable<string>): AsyncGenerator<string> {
  let block = '';
  for await (const line of lines) {
    block += line;
    if (block.length < blockLength) continue;
    yield block;
    block = '';
  }
  if (block) yield block;
}
