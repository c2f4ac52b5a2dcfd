import { resultFields, type Value } from './rows.ts';
import { createTally, noRows, type RunFacts, type Summary } from './summary.ts';
import { csvHead, csvLine, type Table } from './table.ts';
import { choosePageRows } from './page-rows.ts';
import { putTogether, writeRest, type Put, type ReportInput } from './write.ts';

/** The report of a run that changed nothing, into an output where an earlier one had left nothing to do. */
export interface CarriedInput extends Omit<ReportInput, 'rows' | 'otherCalls'> {
  /** Of the earlier run. */
  before: Summary;
  /** The lines of its `results.jsonl`, without their ends. */
  lines: () => AsyncIterable<string>;
}

/** Writes what differs from the earlier run's report: that every row was done before. */
export async function writeCarriedReport(input: CarriedInput, put: Put): Promise<Summary> {
  const { before, run } = input;
  const rows = before.rows.succeeded + before.rows.skipped;
  if (before.rows.succeeded > 0) {
    const tables = { 'results.jsonl': doneJsonl, 'results.csv': doneCsv(run.columns) };
    await putTogether(tables, doneRows(input.lines()), put);
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

/** A row that is done before now. */
interface DoneRow {
  /** Its line in `results.jsonl`. */
  line: string;
  fields: Record<string, Value>;
}

async function* doneRows(lines: AsyncIterable<string>): AsyncIterable<DoneRow> {
  for await (const line of lines) {
    const fields = JSON.parse(line) as Record<string, Value>;
    if (fields['status'] === 'skipped') yield { line, fields };
    else {
      fields['status'] = 'skipped';
      yield { line: JSON.stringify(fields), fields };
    }
  }
}

const doneJsonl: Table<DoneRow> = { head: '', line: ({ line }) => `${line}\n` };

function doneCsv(columns: string[]): Table<DoneRow> {
  const all = [...resultFields, ...columns];
  return {
    head: csvHead(all),
    line: ({ fields }) =>
      csvLine(all.map((name) => (Object.hasOwn(fields, name) ? (fields[name] ?? null) : null))),
  };
}
