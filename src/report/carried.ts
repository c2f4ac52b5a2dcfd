import { resultFields, type Value } from './rows.ts';
import { createTally, noRows, type RunFacts, type Summary } from './summary.ts';
import { csvHead, csvLine, type Table } from './table.ts';
import { choosePageRows } from './page-rows.ts';
import { putTogether, writeRest, type Put, type ReportInput } from './write.ts';

/** The report of a run that changed nothing, into an output where an earlier one had left nothing to do. */
export interface CarriedInput extends Omit<ReportInput, 'rows' | 'otherCalls'> {
  /** Of the earlier run. */
  before: Summary;
  /** The lines of its `results.jsonl`, without their ends, some at a time. */
  lines: () => AsyncIterable<string[]>;
}

/** Writes what differs from the earlier run's report: that every row was done before. */
export async function writeCarriedReport(input: CarriedInput, put: Put): Promise<Summary> {
  const { before, run } = input;
  const rows = before.rows.succeeded + before.rows.skipped;
  if (before.rows.succeeded > 0) {
    const tables = { 'results.jsonl': linesAsTheyAre, 'results.csv': csvOf(run.columns) };
    await putTogether(tables, skippedLines(input.lines()), put);
  }
  const chosen = choosePageRows();
  for (let row = 1; row <= rows; row++) chosen.add({ status: 'skipped', row: { row } });
  return writeRest(input, carriedSummary(run, before, rows), chosen, put);
}

function carriedSummary(
  run: RunFacts,
  { credits_all_runs: spent, perhaps_twice: twice }: Summary,
  rows: number,
): Summary {
  const all = { ...noRows(), skipped: rows };
  return {
    ...createTally(run).summary(),
    rows: all,
    chosen: { ...all },
    ...(spent && { credits_all_runs: spent }),
    ...(twice !== undefined && { perhaps_twice: twice }),
  };
}

/** Inside a text of JSON no quotation mark stands without a backslash, so that this is the field and nothing else. */
const skipped = (line: string): string => line.replace('"status":"succeeded"', '"status":"skipped"');

async function* skippedLines(blocks: AsyncIterable<string[]>): AsyncIterable<string> {
  for await (const lines of blocks) yield* lines.map(skipped);
}

const linesAsTheyAre: Table<string> = { head: '', line: (line) => `${line}\n` };

/** The lines of `results.csv` that say the same. */
function csvOf(columns: string[]): Table<string> {
  const names = [...resultFields, ...columns];
  return {
    head: csvHead(names),
    line(line) {
      const fields = JSON.parse(line) as Record<string, Value>;
      return csvLine(names.map((name) => (Object.hasOwn(fields, name) ? (fields[name] ?? null) : null)));
    },
  };
}
