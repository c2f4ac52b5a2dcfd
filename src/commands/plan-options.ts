import { parseDuration, type Config } from '../config.ts';
import { UsageError } from '../errors.ts';
import type { PlanOptions } from '../batch/plan.ts';

/** Options of `check` and `run` as commander hands them over. */
export interface PlanFlags {
  output?: string;
  name: string;
  map: string[];
  imageRoot?: string;
  encoding?: string;
  format?: string;
  prompt?: string;
  size: string;
  ratio: string;
  route: string;
  limit?: string;
  ids?: string;
  inputMax?: string;
  maxAttempts: string;
  maxCredits?: string;
  retryBudget: string;
  onUnknown?: string;
  halt?: string;
  concurrency: string;
  timeout: string;
  skipInvalid?: boolean;
  force?: boolean;
  dryRun?: boolean;
  yes?: boolean;
  json?: boolean;
  quiet?: boolean;
  verbose?: boolean;
}

/** Checks the flags into what a plan goes by. @throws UsageError naming the option and what it should be */
export function readPlanOptions(file: string, flags: PlanFlags, config: Config): PlanOptions {
  if (flags.inputMax !== undefined)
    throw new UsageError('--input-max: not yet supported; shrink the pictures before');
  return {
    file,
    manifest: {
      name: flags.name,
      map: readMap(flags.map),
      imageRoot: flags.imageRoot,
      encoding: flags.encoding,
      format: flags.format,
      prompt: flags.prompt,
      size: flags.size,
      ratio: flags.ratio,
      route: Number(flags.route),
      limit: readWhole('--limit', flags.limit),
      ids: flags.ids
        ?.split(',')
        .map((id) => id.trim())
        .filter((id) => id !== ''),
      skipInvalid: flags.skipInvalid ?? false,
    },
    maxAttempts: readWhole('--max-attempts', flags.maxAttempts) ?? 4,
    maxCredits: readWhole('--max-credits', flags.maxCredits),
    retryBudget: readPercent('--retry-budget', flags.retryBudget),
    onUnknown: readOnUnknown(flags.onUnknown),
    haltShare: readHalt(flags.halt),
    timeoutMs: readTimeout(flags.timeout),
    force: flags.force ?? false,
    callsPerWindow: config.rateLimit * Math.max(1, config.accounts.length),
    windowMs: config.rateWindowMs,
    origin: config.baseUrl,
  };
}

/** Calls in flight at most; undefined: `auto`. */
export function readConcurrency(text: string): number | undefined {
  return text === 'auto' ? undefined : readWhole('--concurrency', text);
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

function readWhole(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,9}$/.test(text) || Number(text) === 0)
    throw new UsageError(`${option} ${text}: write a whole number from 1`);
  return Number(text);
}

function readPercent(option: string, text: string): number {
  const percent = /^(\d+(?:\.\d+)?)%$/.exec(text)?.[1];
  if (percent === undefined) throw new UsageError(`${option} ${text}: write a share such as 10%`);
  return Number(percent);
}

function readHalt(text: string | undefined): number | undefined {
  if (text === undefined || text === 'never') return undefined;
  const share = /^fail=(.+)$/.exec(text)?.[1];
  if (share === undefined) throw new UsageError(`--halt ${text}: write fail=10% or never`);
  return readPercent('--halt fail', share) / 100;
}

function readTimeout(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new UsageError(`--timeout ${text}: write a duration such as 300s`);
  return ms;
}

function readOnUnknown(text: string | undefined): 'retry' | 'hold' | undefined {
  if (text === undefined || text === 'retry' || text === 'hold') return text;
  throw new UsageError(`--on-unknown ${text}: write retry or hold`);
}
