import { once } from 'node:events';
import { parseDuration } from '../config.ts';
import { exitCodes, systemCode, toError, UsageError, type ExitCode } from '../errors.ts';
import { parseFaults, type LikelyFault } from '../simulator/faults.ts';
import { startSimulator, type Simulator, type SimulatorOptions } from '../simulator/server.ts';

/** The options of `reshoot simulate` as they were written. */
export interface SimulateOptions {
  /** 0: any free one. */
  port: number;
  /** A duration or a range of them: `2s`, `1s-3s`, `0`. */
  latency: string;
  /** Calls an account in any window. */
  limit: number;
  /** A duration. */
  window: string;
  /** Such as `503=1%,reset=0.5%`. */
  faults?: string;
  /** Of each account; endless by default. */
  credits?: number;
  seed: number;
}

interface Io {
  out: (text: string) => void;
  err: (text: string) => void;
}

/**
 * Runs the API simulator until `stop` is aborted with the signal's name as its reason; returns the signal's exit code.
 * @throws UsageError naming the option that is wrong
 */
export async function simulate(options: SimulateOptions, io: Io, stop: AbortSignal): Promise<ExitCode> {
  const settings = readOptions(options);
  const simulator = await start({ ...settings, onCall: (call) => io.out(`${JSON.stringify(call)}\n`) });
  io.err(introduction(simulator, options));
  if (!stop.aborted) await once(stop, 'abort');
  await simulator.close();
  return stop.reason === 'SIGTERM' ? exitCodes.sigterm : exitCodes.sigint;
}

async function start(settings: SimulatorOptions): Promise<Simulator> {
  try {
    return await startSimulator(settings);
  } catch (error) {
    const cause =
      systemCode(error) === 'EADDRINUSE' ? 'is taken' : `cannot be had (${toError(error).message})`;
    throw new UsageError(`--port: ${settings.port} ${cause}; choose another, or 0 for a free one`);
  }
}

function readOptions(options: SimulateOptions): SimulatorOptions {
  const { credits } = options;
  return {
    port: whole('--port', options.port, 0, 65_535),
    latency: readLatency(options.latency),
    limit: whole('--limit', options.limit, 1),
    windowMs: readWindow(options.window),
    seed: whole('--seed', options.seed, 0),
    faults: readFaults(options.faults),
    ...(credits === undefined ? {} : { credits: whole('--credits', credits, 0) }),
  };
}

function whole(option: string, value: number, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  const range = most === Number.MAX_SAFE_INTEGER ? `from ${least}` : `from ${least} to ${most}`;
  throw new UsageError(`${option}: write a whole number ${range}`);
}

function readLatency(text: string): { min: number; max: number } {
  const [from = '', to = from, ...more] = text.split('-');
  const min = readDuration(from);
  const max = readDuration(to);
  if (min === undefined || max === undefined || max < min || more.length > 0) {
    throw new UsageError(`--latency: "${text}" is neither a duration such as 2s nor a range such as 1s-3s`);
  }
  return { min, max };
}

function readDuration(text: string): number | undefined {
  return /^\s*0(ms|s)?\s*$/.test(text) ? 0 : parseDuration(text);
}

function readWindow(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined) throw new UsageError(`--window: "${text}" is not a duration such as 60s`);
  return ms;
}

function readFaults(spec: string | undefined): LikelyFault[] {
  try {
    return spec === undefined ? [] : parseFaults(spec);
  } catch (error) {
    throw new UsageError(`--faults: ${toError(error).message}`);
  }
}

function introduction({ url }: Simulator, options: SimulateOptions): string {
  const { limit, window, latency, faults, credits } = options;
  const chances = [faults && `faults ${faults}`, credits !== undefined && `${credits} credits an account`];
  return `${[
    `The simulated API listens on ${url}: ${limit} calls an account in any ${window}, latency ${latency}`,
    ...chances.filter(Boolean),
  ].join(', ')}.
Its pictures are not the model's: they are your own before a new ground. What a tier (1K, 2K, 4K) comes to
in pixels is its assumption.
To use it: export SPIDERHUBS_BASE_URL=${url} SPIDERHUBS_API_KEY=sk_live_demo
A key is sk_live_<account>, or sk_live_<account>-<anything> for a second key of that account.
Every call is a line of JSON on standard output when it has ended. Ctrl-C ends the simulator.
`;
}
