import { reportAgain } from '../batch/finish.ts';
import { findOutput } from '../batch/output.ts';
import { exitCodes, UsageError, type ExitCode } from '../errors.ts';
import { summaryText } from '../report/text.ts';
import type { Io } from './io.ts';

/** Makes the report again from plan and records; needs no Redis and makes no call. */
export async function report(target: string, flags: { json?: boolean }, io: Io): Promise<ExitCode> {
  const output = await findOutput(target);
  const summary = output && (await reportAgain(output));
  if (!summary) throw new UsageError(`${target}: no run of reshoot was ever planned into this output`);
  io.out(flags.json ? `${JSON.stringify(summary, null, 2)}\n` : summaryText(summary, target));
  return exitCodes.ok;
}
