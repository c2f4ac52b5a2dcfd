import { type BookedCall, callsCsv, runsCsv } from './books.ts';
import { failedCsv } from './failed.ts';
import { pageHtml } from './page.ts';
import { resultsCsv, resultsJsonl } from './results.ts';
import type { ReportRow } from './rows.ts';
import { createTally, type RunFacts, type Summary, type Tally } from './summary.ts';

/** What a report is made from. Rows and calls are read several times, so that they need not be held in memory. */
export interface ReportInput {
  run: RunFacts;
  /** The rows of the latest manifest, in its order. */
  rows: () => AsyncIterable<ReportRow>;
  /** Every call into this output, also of rows that have left the manifest; in any order. */
  calls: () => AsyncIterable<BookedCall>;
  /** The summaries of other runs into this output; one of the same run is replaced. */
  runs: readonly Summary[];
}

/** Replaces the file of this name in the report's folder, whole or not at all. */
export type Put = (name: string, content: AsyncIterable<string | Buffer> | string) => Promise<void>;

/** Writes all files of the report; `summary.json` comes last, so that its presence means a whole report. */
export async function writeReport(input: ReportInput, put: Put): Promise<Summary> {
  const tally = createTally(input.run);
  for await (const row of input.rows()) tally.add(row);
  const { columns } = input.run;
  await put('results.jsonl', blocks(resultsJsonl(input.rows())));
  await put('results.csv', blocks(resultsCsv(input.rows(), columns)));
  await put('failed.csv', blocks(failedCsv(input.rows(), columns)));
  await put('calls.csv', blocks(callsCsv(booked(input.calls(), tally))));
  const summary = tally.summary();
  const others = input.runs.filter(({ run }) => run !== summary.run);
  await put('runs.csv', runsCsv([...others, summary]));
  await put('index.html', blocks(pageHtml(input.rows(), { summary, columns })));
  await put('summary.json', `${JSON.stringify(summary, null, 2)}\n`);
  return summary;
}

/** The calls as they pass, counted: reading them once more would take as long as reading them. */
async function* booked(calls: AsyncIterable<BookedCall>, tally: Tally): AsyncIterable<BookedCall> {
  for await (const call of calls) {
    tally.book(call);
    yield call;
  }
}

/** Lines joined to blocks of about 64 KB, or a million rows would be as many writes. */
async function* blocks(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let block = '';
  for await (const line of lines) {
    block += line;
    if (block.length < 65_536) continue;
    yield block;
    block = '';
  }
  if (block) yield block;
}
