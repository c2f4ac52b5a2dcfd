import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { inspect, parseEnv } from 'node:util';
import { systemCode, toError, UsageError } from './errors.ts';

/** Of reshoot; `package.json` says the same. */
export const version = '0.1.0';

/** An API key: usable where a call is made, invisible everywhere else. */
export class Secret {
  readonly #value: string;
  constructor(value: string) {
    this.#value = value;
  }
  reveal(): string {
    return this.#value;
  }
  toString(): string {
    return '[redacted]';
  }
  toJSON(): string {
    return '[redacted]';
  }
  [inspect.custom](): string {
    return '[redacted]';
  }
}

/** An account of the API: the limit and the credits are its, whichever of its keys is used. */
interface Account {
  name: string;
  key: Secret;
}

export interface Config {
  accounts: Account[];
  /** Origin of the API, without a trailing slash. */
  baseUrl: string;
  /** Unset: the embedded Redis in `stateDir`. */
  redisUrl: string | undefined;
  /** Prefix of all Redis keys. */
  namespace: string;
  stateDir: string;
  /** The folders of programs. */
  searchPath: string;
  /** The user's folder for sockets, if the system has one. */
  runtimeDir: string | undefined;
  /** The terminal can't move its cursor. */
  dumbTerminal: boolean;
  /** Calls an account in `rateWindowMs`. */
  rateLimit: number;
  rateWindowMs: number;
  /** Unset: each command has its own. */
  logLevel: string | undefined;
  /** Proxy for the API's origin, if the environment names one that applies. */
  proxy: string | undefined;
}

type Env = Record<string, string | undefined>;

/**
 * Reads `.env` of a folder, if there is one, into the environment; what that already says wins, also where it is empty.
 * @throws UsageError when it can't be read, or isn't UTF-8
 */
export function loadDotEnv(folder = '.', env: Env = process.env): void {
  for (const [name, value] of Object.entries(parseEnv(readDotEnv(folder)))) env[name] ??= value;
}

/** Without the byte order mark that some editors write, which would be part of the first name. */
function readDotEnv(folder: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(join(folder, '.env'));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return '';
    throw new UsageError(`.env cannot be read: ${toError(error).message}`);
  }
  // UTF-16 without a mark is, byte by byte, UTF-8 with zeros.
  if (!isUtf8(bytes) || bytes.includes(0)) throw new UsageError('.env is not UTF-8: save it as UTF-8');
  return bytes.toString().replace(/^\uFEFF/, '');
}

/**
 * All settings of the environment, checked. The only reader of it.
 * @throws UsageError naming the variable and what it should be
 */
export function readConfig(env: Env = process.env): Config {
  const baseUrl = readBaseUrl(env);
  return {
    accounts: readAccounts(env),
    baseUrl,
    redisUrl: readRedisUrl(env),
    namespace: readNamespace(env),
    stateDir: resolve(env['RESHOOT_STATE_DIR'] || defaultStateDir(env)),
    searchPath: env['PATH'] ?? '',
    runtimeDir: env['XDG_RUNTIME_DIR'] || undefined,
    dumbTerminal: env['TERM'] === 'dumb',
    rateLimit: readCount(env, 'RESHOOT_RATE_LIMIT', 30),
    rateWindowMs: readDuration(env, 'RESHOOT_RATE_WINDOW', '60s'),
    logLevel: readLogLevel(env),
    proxy: readProxy(env, new URL(baseUrl)),
  };
}

/**
 * `300s`, `500ms`, `2m`, `1h` as milliseconds; undefined where the text says something else or nothing.
 */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)$/.exec(text.trim());
  if (!match) return undefined;
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }[match[2] as 'ms' | 's' | 'm' | 'h'];
  const ms = Number(match[1]) * unit;
  return ms > 0 ? ms : undefined;
}

function readAccounts(env: Env): Account[] {
  const given = ['SPIDERHUBS_API_KEY', 'SPIDERHUBS_API_KEY_FILE', 'SPIDERHUBS_API_KEYS'].filter(
    (name) => env[name],
  );
  if (given.length > 1) throw new UsageError(`${given.join(' and ')} are both set: keep one of them`);
  const list = env['SPIDERHUBS_API_KEYS'];
  if (list) return readAccountList(list);
  const file = env['SPIDERHUBS_API_KEY_FILE'];
  if (file) return [{ name: 'default', key: checkedKey(readKeyFile(file), 'SPIDERHUBS_API_KEY_FILE') }];
  const key = env['SPIDERHUBS_API_KEY'];
  return key ? [{ name: 'default', key: checkedKey(key, 'SPIDERHUBS_API_KEY') }] : [];
}

/** The same name twice is one account: its first key is used, since the limit is the user's, not the key's. */
function readAccountList(list: string): Account[] {
  const accounts = new Map<string, Account>();
  for (const part of list.split(',').filter((part) => part.trim())) {
    const at = part.indexOf('=');
    const name = part.slice(0, Math.max(at, 0)).trim();
    if (!/^[\w.-]{1,40}$/.test(name)) {
      throw new UsageError(
        'SPIDERHUBS_API_KEYS: write name=key,name=key; a name is letters, digits, "_", "." or "-"',
      );
    }
    if (!accounts.has(name)) {
      accounts.set(name, { name, key: checkedKey(part.slice(at + 1), `SPIDERHUBS_API_KEYS, ${name}`) });
    }
  }
  return [...accounts.values()];
}

function checkedKey(text: string, where: string): Secret {
  const key = text.trim();
  if (!/^[\x21-\x7e]+$/.test(key)) {
    throw new UsageError(
      `${where}: the key is empty or holds characters that a key never has (spaces, quotes of a word processor?)`,
    );
  }
  return new Secret(key);
}

function readKeyFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new UsageError(`SPIDERHUBS_API_KEY_FILE: ${toError(error).message}`);
  }
}

function readBaseUrl(env: Env): string {
  const text = env['SPIDERHUBS_BASE_URL'] || 'https://api.spiderhubs.com';
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
    throw new UsageError(
      `SPIDERHUBS_BASE_URL: "${text}" is not a plain http(s) address such as https://api.spiderhubs.com`,
    );
  }
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw new UsageError(
      'SPIDERHUBS_BASE_URL: plain http would send the key readable over the network; use https',
    );
  }
  if (url.protocol === 'https:' && env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    throw new UsageError(
      'NODE_TLS_REJECT_UNAUTHORIZED=0: the key is not sent over a connection that trusts anybody; unset it',
    );
  }
  return url.href.replace(/\/+$/, '');
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);
}

function readRedisUrl(env: Env): string | undefined {
  const text = env['REDIS_URL'];
  if (!text) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^rediss?:$/.test(url.protocol)) {
    throw new UsageError('REDIS_URL: write redis://host:6379 or rediss://user:password@host:6379/0');
  }
  return text;
}

function readNamespace(env: Env): string {
  const name = env['RESHOOT_NAMESPACE'] || 'reshoot';
  if (!/^[\w.-]{1,60}$/.test(name)) {
    throw new UsageError('RESHOOT_NAMESPACE: up to 60 letters, digits, "_", "." or "-"');
  }
  return name;
}

function readCount(env: Env, name: string, fallback: number): number {
  const text = env[name];
  if (!text) return fallback;
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1)
    throw new UsageError(`${name}: "${text}" is not a whole number from 1`);
  return count;
}

function readDuration(env: Env, name: string, fallback: string): number {
  const text = env[name] || fallback;
  const ms = parseDuration(text);
  if (ms === undefined) throw new UsageError(`${name}: "${text}" is not a duration such as 60s`);
  return ms;
}

function readLogLevel(env: Env): string | undefined {
  const level = env['RESHOOT_LOG_LEVEL'] || undefined;
  const levels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
  if (level && !levels.includes(level))
    throw new UsageError(`RESHOOT_LOG_LEVEL: "${level}" is none of ${levels.join(', ')}`);
  return level;
}

/** A loopback address never goes through a proxy. */
function readProxy(env: Env, target: URL): string | undefined {
  if (isLoopback(target.hostname)) return undefined;
  const spared = (env['NO_PROXY'] ?? env['no_proxy'] ?? '')
    .split(',')
    .map((host) => host.trim().replace(/^\*?\./, ''));
  if (spared.some((host) => host === '*' || (host && `.${target.hostname}`.endsWith(`.${host}`))))
    return undefined;
  const proxy = env['HTTPS_PROXY'] ?? env['https_proxy'];
  if (proxy && !URL.canParse(proxy))
    throw new UsageError('HTTPS_PROXY: not an address such as http://proxy:3128');
  return proxy || undefined;
}

function defaultStateDir(env: Env): string {
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Application Support', 'reshoot');
  return join(env['XDG_STATE_HOME'] || join(homedir(), '.local', 'state'), 'reshoot');
}
