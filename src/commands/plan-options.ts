import type { CheckOptions } from '../batch/check.ts';
import type { PlanOptions } from '../batch/plan.ts';
import { printable } from '../cells.ts';
import { parseDuration, type Config } from '../config.ts';
import { UsageError } from '../errors.ts';
import { formatFlaw } from '../manifest/load.ts';
import { templateFlaw } from '../manifest/names.ts';
import { encodingFlaw } from '../manifest/text.ts';
import { allowedRatios, allowedSizes, readRatio, readRoute, readSize } from '../manifest/values.ts';
import { readPrice, type Price } from './price.ts';

/** Options of whatever makes calls, as commander hands them over. */
export interface LimitFlags {
  maxAttempts: string;
  maxCredits?: string;
  retryBudget: string;
  onUnknown?: string;
  halt?: string;
  concurrency: string;
  timeout: string;
  yes?: boolean;
  json?: boolean;
  quiet?: boolean;
  verbose?: boolean;
  /** Of `reshoot.yaml` alone, as the next two. */
  maxCreditsPerDay?: string;
  timeZone?: string;
  creditPrice?: string;
}

/** Options of `check` and `run`. */
export interface PlanFlags extends LimitFlags {
  output?: string;
  name: string;
  map: string[];
  imageRoot?: string;
  encoding?: string;
  format?: string;
  sheet?: string;
  eachPicture?: boolean;
  prompt?: string;
  size: string;
  ratio: string;
  route: string;
  limit?: string;
  ids?: string;
  inputMax?: string;
  inputs?: string;
  skipInvalid?: boolean;
  force?: boolean;
  dryRun?: boolean;
}

/** How an option's text is read, undefined where it can't be, and what to write then. */
type Kind<T> = readonly [read: (text: string) => T | undefined, wish: string];

const whole: Kind<number> = [readWhole, 'write a whole number from 1'];

/** The options that take only some texts. */
const kinds = {
  size: [readSize, `write ${allowedSizes}`],
  ratio: [readRatio, `write one of ${allowedRatios}`],
  route: [readRoute, 'write 1 or 2'],
  limit: whole,
  'input-max': whole,
  inputs: [readInputs, 'write url or strict (inline and auto are not yet supported)'],
  'max-attempts': whole,
  'max-credits': whole,
  maxCreditsPerDay: whole,
  timeZone: [readZone, 'write a time zone such as Europe/Berlin or UTC'],
  creditPrice: [readPrice, 'write what a credit costs, such as 0.04 USD'],
  'retry-budget': [readPercent, 'write a share such as 10%'],
  'on-unknown': [readOnUnknown, 'write retry or hold'],
  halt: [readHalt, 'write fail=10% or never'],
  concurrency: [readCalls, 'write auto or a whole number from 1'],
  timeout: [parseDuration, 'write a duration such as 300s'],
} satisfies Record<string, Kind<unknown>>;

type Read<Name extends keyof typeof kinds> = NonNullable<ReturnType<(typeof kinds)[Name][0]>>;

/** Flaws of texts that only the manifest's reader knows. */
const readerFlaws: Record<string, (text: string) => string | undefined> = {
  name: templateFlaw,
  encoding: encodingFlaw,
  format: formatFlaw,
};

/** Why an option can't have this value, and what to write; undefined where it can, or there is no such rule. */
export function valueFlaw(name: string, text: string): string | undefined {
  if (!Object.hasOwn(kinds, name)) return readerFlaws[name]?.(text);
  const [read, wish]: Kind<unknown> = kinds[name as keyof typeof kinds];
  return read(text) === undefined ? wish : undefined;
}

/** Checks the flags into what a plan goes by. @throws UsageError naming the option and what it should be */
export function readPlanOptions(file: string, flags: PlanFlags, config: Config): PlanOptions & CheckOptions {
  return {
    ...readLimits(flags, config),
    file,
    force: flags.force ?? false,
    pictures: {
      maxSide: readGiven('input-max', flags.inputMax),
      strict: readGiven('inputs', flags.inputs) === 'strict',
    },
    manifest: {
      name: flags.name,
      map: readMap(flags.map),
      imageRoot: flags.imageRoot,
      encoding: flags.encoding,
      format: flags.format,
      sheet: flags.sheet,
      eachPicture: flags.eachPicture ?? false,
      prompt: flags.prompt,
      size: read('size', flags.size),
      ratio: read('ratio', flags.ratio),
      route: read('route', flags.route),
      limit: readGiven('limit', flags.limit),
      ids: readList(flags.ids),
      skipInvalid: flags.skipInvalid ?? false,
    },
  };
}

type Limits = Omit<PlanOptions, 'file' | 'force' | 'again' | 'pictures'>;

/** What bounds a run, whatever its rows are. @throws as `readPlanOptions` */
export function readLimits(flags: LimitFlags, config: Config): Limits {
  readConcurrency(flags.concurrency);
  const halt = read('halt', flags.halt ?? 'never');
  return {
    maxAttempts: read('max-attempts', flags.maxAttempts),
    maxCredits: readGiven('max-credits', flags.maxCredits),
    retryBudget: read('retry-budget', flags.retryBudget),
    onUnknown: readGiven('on-unknown', flags.onUnknown),
    dayCap: readDayCap(flags),
    haltShare: halt === 'never' ? undefined : halt,
    timeoutMs: read('timeout', flags.timeout),
    callsPerWindow: config.rateLimit * Math.max(1, config.accounts.length),
    windowMs: config.rateWindowMs,
    origin: config.baseUrl,
  };
}

/** What a credit costs; undefined: `reshoot.yaml` doesn't say. @throws UsageError for what is no price */
export function readCreditPrice({ creditPrice }: LimitFlags): Price | undefined {
  return readGiven('creditPrice', creditPrice);
}

/** The words of `A,B`. */
export function readList(text: string | undefined): string[] | undefined {
  return text
    ?.split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

/** The route that was given. @throws UsageError for another text */
export function readGivenRoute(text: string | undefined): 1 | 2 | undefined {
  return readGiven('route', text);
}

/** Calls in flight at most; undefined: `auto`. @throws UsageError for another text */
export function readConcurrency(text: string): number | undefined {
  const calls = read('concurrency', text);
  return calls === 'auto' ? undefined : calls;
}

function read<Name extends keyof typeof kinds>(name: Name, text: string): Read<Name> {
  const [reader, wish]: Kind<unknown> = kinds[name];
  const value = reader(text);
  if (value === undefined) throw new UsageError(`--${name} ${printable(text)}: ${wish}`);
  return value as Read<Name>;
}

function readGiven<Name extends keyof typeof kinds>(
  name: Name,
  text: string | undefined,
): Read<Name> | undefined {
  return text === undefined ? undefined : read(name, text);
}

function readDayCap({ maxCreditsPerDay, timeZone = 'UTC' }: LimitFlags): Limits['dayCap'] {
  const credits = readGiven('maxCreditsPerDay', maxCreditsPerDay);
  return credits === undefined ? undefined : { credits, timeZone: read('timeZone', timeZone) };
}

function readZone(text: string): string | undefined {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: text }).resolvedOptions().timeZone;
  } catch {
    return undefined;
  }
}

function readMap(pairs: string[]): Record<string, string> {
  const map: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw new UsageError(`--map ${pair}: write field=column, such as --map id=SKU`);
    map[pair.slice(0, at).trim()] = pair.slice(at + 1).trim();
  }
  return map;
}

function readWhole(text: string): number | undefined {
  return /^\d{1,9}$/.test(text) && Number(text) > 0 ? Number(text) : undefined;
}

function readCalls(text: string): number | 'auto' | undefined {
  return text === 'auto' ? text : readWhole(text);
}

function readPercent(text: string): number | undefined {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text)?.[1];
  return percent === undefined ? undefined : Number(percent);
}

function readHalt(text: string): number | 'never' | undefined {
  if (text === 'never') return text;
  const percent = readPercent(/^fail=(.+)$/.exec(text)?.[1] ?? '');
  return percent === undefined ? undefined : percent / 100;
}

function readInputs(text: string): 'url' | 'strict' | undefined {
  return text === 'url' || text === 'strict' ? text : undefined;
}

function readOnUnknown(text: string): 'retry' | 'hold' | undefined {
  return text === 'retry' || text === 'hold' ? text : undefined;
}
