import { draftAgain, type Choice } from '../batch/again.ts';
import { creditsOf } from '../batch/check.ts';
import { findOutput } from '../batch/output.ts';
import type { Tuning } from '../batch/work.ts';
import { printable } from '../cells.ts';
import type { Config } from '../config.ts';
import { codes, exitCodes, UsageError, type ExitCode } from '../errors.ts';
import { rowStatuses, type RowStatus } from '../model.ts';
import { plural } from '../report/text.ts';
import { creditsText, line } from './check-text.ts';
import type { Io } from './io.ts';
import { readCreditPrice, readGivenRoute, readLimits, readList, type LimitFlags } from './plan-options.ts';
import { agreed } from './prepare.ts';
import { costText } from './price.ts';
import { workOn } from './run.ts';

/** Options of `retry`. */
export interface RetryFlags extends LimitFlags {
  status?: string;
  code?: string;
  ids?: string;
  route?: string;
  prompt?: string;
}

/** Does failed, held or named rows of an output again: plan, work, report. */
export async function retry(
  target: string,
  flags: RetryFlags,
  config: Config,
  io: Io,
  tuning: Tuning = {},
): Promise<ExitCode> {
  const choice = readChoice(flags);
  const limits = readLimits(flags, config);
  const output = await findOutput(target);
  const asked = JSON.stringify(choice);
  const again = output && (await draftAgain(output, choice, asked));
  if (!again) throw new UsageError(`${target}: no run of reshoot was ever planned into this output`);
  const { checked, file, due, force, pictures, findings } = again;
  if (findings.length > 0) {
    for (const finding of findings) io.err(`${line(finding)}\n`);
    io.err('Nothing was sent. Mend what is said above.\n');
    return exitCodes.usage;
  }
  if (due === 0) {
    io.err(
      'No row fits: nothing is failed or held, or none is what --status, --code and --ids say. Nothing was sent.\n',
    );
    if (flags.json) io.out(`${JSON.stringify({ run: null, rows: 0 }, null, 2)}\n`);
    return exitCodes.ok;
  }
  const options = { ...limits, file, force, pictures, again: asked };
  const credits = creditsOf(due, due, options);
  const { least, most } = credits;
  const price = readCreditPrice(flags);
  const cost = price ? `In money: ${costText(least, most, price)}\n` : '';
  if (!flags.quiet) io.err(`${plural(due, 'row')} to do again\n${creditsText(credits)}\n${cost}`);
  if (!(await agreed({ credits }, flags, io))) {
    io.err('Nothing was sent.\n');
    return exitCodes.usage;
  }
  const prepared = { options, checked, openOutput: () => Promise.resolve(output) };
  return workOn(prepared, { ...flags, output: target }, config, io, tuning);
}

/** @throws UsageError for what is no status, no code or no route */
function readChoice({ status, code, ids, route, prompt }: RetryFlags): Choice {
  const statuses = readList(status)?.map(readStatus);
  const wanted = readList(code);
  const unknown = wanted?.find((one) => !Object.hasOwn(codes, one));
  if (unknown !== undefined)
    throw new UsageError(`--code ${printable(unknown, 80)}: no such code; README lists them`);
  if (prompt?.trim() === '') throw new UsageError('--prompt: write a prompt');
  return { statuses, codes: wanted, ids: readList(ids), prompt, route: readGivenRoute(route) };
}

/** An invalid row can only be mended in its manifest. */
const possible = rowStatuses.filter((status) => status !== 'invalid');

function readStatus(text: string): RowStatus {
  const status = possible.find((one) => one === text);
  if (status) return status;
  throw new UsageError(`--status ${printable(text, 80)}: write some of ${possible.join(', ')}`);
}
