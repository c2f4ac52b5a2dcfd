import { askedFrom } from '../batch/asked.ts';
import { lookBefore } from '../batch/before.ts';
import { carryOver } from '../batch/unchanged.ts';
import { checkManifest, type Check } from '../batch/check.ts';
import { findOutput, openOutput, type Output } from '../batch/output.ts';
import { createDraft } from '../batch/draft.ts';
import type { Checked, PlanOptions } from '../batch/plan.ts';
import type { Config } from '../config.ts';
import { UsageError } from '../errors.ts';
import { refuses } from './check.ts';
import { checkDocument, checkText, inBlocks } from './check-text.ts';
import type { Io } from './io.ts';
import { readCreditPrice, readPlanOptions, type LimitFlags, type PlanFlags } from './plan-options.ts';
import { costText } from './price.ts';

/** A person is asked first where more credits than this may be spent. */
const askAbove = 100;

/** A sound manifest that its user wants done. */
export interface Prepared {
  options: PlanOptions;
  checked: Checked;
  /** Rows that are to be worked on. */
  due: number;
  /** Opens the output, which is made where there was none. */
  openOutput(): Promise<Output>;
}

/** Checks what `run` and `submit` are about to do. Undefined: refused, and said why. */
export async function prepare(
  command: string,
  file: string,
  flags: PlanFlags,
  config: Config,
  io: Io,
): Promise<Prepared | undefined> {
  const { output: target } = flags;
  if (target === undefined) throw new UsageError(`${command} needs an output: -o FOLDER`);
  const options = readPlanOptions(file, flags, config);
  const output = await findOutput(target);
  const before = output && (await lookBefore(output));
  const asked = await askedFrom(file, options, target);
  const drafted = async (): Promise<{ check: Check; draft: Checked['draft'] }> => {
    const draft = createDraft();
    return { check: await checkManifest(file, options, { target, output }, draft), draft };
  };
  const { check: found, draft } = (await carryOver(asked, options, output)) ?? (await drafted());
  await asked?.expectUnchanged();
  const { skipInvalid } = options.manifest;
  const price = readCreditPrice(flags);
  const say = (pieces: Iterable<string>, to: (text: string) => void): void => {
    for (const text of inBlocks(pieces)) to(text);
  };
  if (refuses(found, skipInvalid)) {
    say(checkText(file, found, skipInvalid, price), io.err);
    // Rows can be left out; what is wrong with the whole table or the output can't.
    const otherwise = refuses(found, true) ? '' : ', or leave such rows out with --skip-invalid';
    io.err(`Nothing was sent. Mend what is said above${otherwise}.\n`);
    if (flags.json) say(checkDocument(file, found, price), io.out);
    return undefined;
  }
  if (!flags.quiet) say(checkText(file, found, skipInvalid, price), io.err);
  found.close();
  if (await agreed(found, flags, io)) {
    const checked = { manifest: found.manifest, draft, asked, before };
    return { options, due: found.due, checked, openOutput: async () => output ?? openOutput(target) };
  }
  io.err('Nothing was sent.\n');
  return undefined;
}

/** Does a person who is there agree to what may be spent? */
export async function agreed(
  { credits }: Pick<Check, 'credits'>,
  flags: LimitFlags,
  io: Io,
): Promise<boolean> {
  const { least, most } = credits;
  if (flags.yes || !io.ask || most <= askAbove) return true;
  const price = readCreditPrice(flags);
  const cost = price ? ` (${costText(least, most, price)})` : '';
  const answer = await io.ask(`This may spend ${least} to ${most} credits${cost}. Go on? [y/N] `);
  return /^\s*(y|yes|是|好)\s*$/i.test(answer);
}
