import { codes, exitCodes } from '../errors.ts';
import type { Summary } from './summary.ts';

/** Why a run stopped. The records keep a sentence; here it is taken apart, so that each language can say it. */
export interface Stopping {
  kind: keyof typeof kinds | 'other';
  /** The numbers in the sentence, in its order; of accounts the error codes; else the whole sentence. */
  values: string[];
  /** The same in English, with what to do. */
  says: string;
}

const kinds = {
  cap: /^the cap of (\d+) credits/,
  budget: /^the retry budget of (\d+) extra calls/,
  day: /^the accounts have spent their (\d+) credits of this day; the next begins at (\S+)$/,
  accounts: /^no account may work: (.+)$/s,
  failures: /^(\d+) of (\d+) finished rows failed/,
  alike: /^(\d+) rows in a row ended with the same error: (\w+)$/,
  unusable: /^(\d+) answers in a row were charged and no pictures/,
};

/** Undefined: it did not stop, or its exit code says all there is to say (a signal, `cancel`). */
export function stoppingOf({ exit_code: code, stop_reason: reason }: Summary): Stopping | undefined {
  const stops: number[] = [exitCodes.account, exitCodes.budget, exitCodes.halted];
  if (reason === undefined || !stops.includes(code)) return undefined;
  for (const kind of Object.keys(kinds) as (keyof typeof kinds)[]) {
    const found = kinds[kind].exec(reason)?.slice(1);
    if (!found) continue;
    const values = kind === 'accounts' ? [...new Set(found.join('').split(', '))] : found;
    return { kind, values, says: `Stopped: ${sentenceOf(kind, values)}` };
  }
  return { kind: 'other', values: [reason], says: `Stopped: ${ended(reason)} ${lookFirst}` };
}

const lookFirst = 'Look at the errors before you go on.';

function sentenceOf(kind: keyof typeof kinds, values: string[]): string {
  const [first = '', second = ''] = values;
  switch (kind) {
    case 'cap':
      return `the cap of ${first} credits of this run is reached. The same command may spend ${first} more.`;
    case 'budget':
      return `the retry budget of ${first} extra calls of this run is used up. ${lookFirst}`;
    case 'day':
      return `each account has used its ${first} credits of this day (maxCreditsPerDay; calls of unknown charge count). The same command goes on from ${second}.`;
    case 'accounts':
      return `no account may work: ${ended(values.map(whyParked).join('; '))}`;
    case 'failures':
      return `${first} of ${second} finished rows failed (--halt). ${lookFirst}`;
    case 'alike':
      return `${first} rows in a row ended with the same error: ${ended(meaningOf(second))} ${lookFirst}`;
    case 'unusable':
      return `${first} paid answers in a row held no picture. ${lookFirst}`;
  }
}

function whyParked(code: string): string {
  if (code === 'rate_limited') return 'the API has told the account to wait for 15 minutes (429): try later';
  if (code === 'day_spent') return 'the others have spent their credits of this day (maxCreditsPerDay)';
  return meaningOf(code);
}

const meaningOf = (code: string): string => (code in codes ? codes[code as keyof typeof codes].says : code);

const ended = (sentence: string): string => (/[.!?。]$/.test(sentence) ? sentence : `${sentence}.`);
