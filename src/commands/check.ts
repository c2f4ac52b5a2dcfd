import { askedFrom } from '../batch/asked.ts';
import { carryOver } from '../batch/unchanged.ts';
import { checkManifest, type Check } from '../batch/check.ts';
import { findOutput } from '../batch/output.ts';
import type { Config } from '../config.ts';
import { exitCodes, type ExitCode } from '../errors.ts';
import { checkDocument, checkText, inBlocks } from './check-text.ts';
import type { Io } from './io.ts';
import { readCreditPrice, readPlanOptions, type PlanFlags } from './plan-options.ts';

/** Reads and validates everything, spends nothing, says what a run would do and cost. */
export async function check(file: string, flags: PlanFlags, config: Config, io: Io): Promise<ExitCode> {
  const options = readPlanOptions(file, flags, config);
  const { output: target } = flags;
  const output = target === undefined ? undefined : await findOutput(target);
  const asked = output && target !== undefined ? await askedFrom(file, options, target) : undefined;
  const carried = await carryOver(asked, options, output);
  const found = carried?.check ?? (await checkManifest(file, options, { target, output }));
  const { skipInvalid } = options.manifest;
  const price = readCreditPrice(flags);
  const said = flags.json ? checkDocument(file, found, price) : checkText(file, found, skipInvalid, price);
  for (const text of inBlocks(said)) io.out(text);
  return refuses(found, skipInvalid) ? exitCodes.usage : exitCodes.ok;
}

/** Would `run` refuse? With `--skip-invalid` only what is wrong with the manifest as a whole, or with the output, does. */
export function refuses(found: Check, skipInvalid: boolean): boolean {
  if (!skipInvalid) return found.findings.length > 0;
  return found.manifest.unskippable || found.findings.length > found.manifest.findings;
}
