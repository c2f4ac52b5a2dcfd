import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { loadDotEnv, parseDuration, readConfig, Secret } from '../../src/config.ts';
import { UsageError } from '../../src/errors.ts';

const canary = 'sk_live_canary_0123456789';
const folder = mkdtempSync(join(tmpdir(), 'reshoot-config-'));
afterAll(() => rmSync(folder, { recursive: true }));

const fileOf = (name: string, text: string): string => {
  const file = join(folder, name);
  writeFileSync(file, text);
  return file;
};

const keysOf = (env: Record<string, string>) =>
  readConfig(env).accounts.map(({ name, key }) => [name, key.reveal()]);

/** What the environment's fault is told as. */
function complaint(env: Record<string, string>): string {
  try {
    readConfig(env);
  } catch (error) {
    expect(error).toBeInstanceOf(UsageError);
    return String(error);
  }
  return '';
}

describe('readConfig', () => {
  it("has the contract's defaults", () => {
    const darwin = join(homedir(), 'Library', 'Application Support', 'reshoot');
    const other = join(homedir(), '.local', 'state', 'reshoot');
    const stateDirOf = (env: Record<string, string>) => readConfig(env).stateDir;
    expect(stateDirOf({ XDG_STATE_HOME: '/data/state' })).toBe(
      process.platform === 'darwin' ? darwin : '/data/state/reshoot',
    );
    expect(readConfig({})).toEqual({
      accounts: [],
      baseUrl: 'https://api.spiderhubs.com',
      redisUrl: undefined,
      namespace: 'reshoot',
      stateDir: process.platform === 'darwin' ? darwin : other,
      searchPath: '',
      runtimeDir: undefined,
      dumbTerminal: false,
      rateLimit: 30,
      rateWindowMs: 60_000,
      logLevel: undefined,
      proxy: undefined,
    });
  });

  it('takes an empty variable for one that is not set', () => {
    const names = ['API_KEY', 'API_KEY_FILE', 'API_KEYS', 'BASE_URL'].map((name) => `SPIDERHUBS_${name}`);
    const own = ['NAMESPACE', 'STATE_DIR', 'RATE_LIMIT', 'RATE_WINDOW', 'LOG_LEVEL'];
    const all = [...names, ...own.map((name) => `RESHOOT_${name}`), 'REDIS_URL', 'HTTPS_PROXY'];
    expect(readConfig(Object.fromEntries(all.map((name) => [name, ''])))).toEqual(readConfig({}));
  });

  it('reads every setting', () => {
    const env = {
      SPIDERHUBS_BASE_URL: 'http://127.0.0.1:4010/',
      REDIS_URL: 'rediss://me:secret@redis.example:6380/2',
      RESHOOT_NAMESPACE: 'shop-2',
      RESHOOT_STATE_DIR: '/var/lib/reshoot',
      XDG_RUNTIME_DIR: '/run/user/1000',
      RESHOOT_RATE_LIMIT: '12',
      RESHOOT_RATE_WINDOW: '500ms',
      RESHOOT_LOG_LEVEL: 'debug',
      TERM: 'dumb',
    };
    expect(readConfig(env)).toEqual({
      accounts: [],
      baseUrl: 'http://127.0.0.1:4010',
      redisUrl: env.REDIS_URL,
      namespace: 'shop-2',
      stateDir: '/var/lib/reshoot',
      searchPath: '',
      runtimeDir: '/run/user/1000',
      dumbTerminal: true,
      rateLimit: 12,
      rateWindowMs: 500,
      logLevel: 'debug',
      proxy: undefined,
    });
  });

  it('reads one key, a key file, or several accounts of which a name is one limit', () => {
    expect(keysOf({ SPIDERHUBS_API_KEY: ` ${canary}\n` })).toEqual([['default', canary]]);
    const file = fileOf('key', `${canary}\n`);
    expect(keysOf({ SPIDERHUBS_API_KEY_FILE: file })).toEqual([['default', canary]]);
    expect(keysOf({ SPIDERHUBS_API_KEYS: 'shop=k1, studio = k=2 ,shop=k3,' })).toEqual([
      ['shop', 'k1'],
      ['studio', 'k=2'],
    ]);
  });

  it.each([
    ['SPIDERHUBS_API_KEY', { SPIDERHUBS_API_KEY: `“${canary}”` }],
    ['SPIDERHUBS_API_KEY', { SPIDERHUBS_API_KEY: `${canary} x` }],
    ['SPIDERHUBS_API_KEY_FILE', { SPIDERHUBS_API_KEY_FILE: join(folder, 'missing') }],
    ['SPIDERHUBS_API_KEY_FILE', { SPIDERHUBS_API_KEY_FILE: fileOf('empty', '') }],
    ['SPIDERHUBS_API_KEY_FILE', { SPIDERHUBS_API_KEY_FILE: fileOf('blank', ' \n') }],
    ['SPIDERHUBS_API_KEYS', { SPIDERHUBS_API_KEYS: canary }],
    ['SPIDERHUBS_API_KEYS', { SPIDERHUBS_API_KEYS: `my shop=${canary}` }],
    ['SPIDERHUBS_API_KEYS', { SPIDERHUBS_API_KEYS: 'shop=' }],
    ['SPIDERHUBS_API_KEYS', { SPIDERHUBS_API_KEY: canary, SPIDERHUBS_API_KEYS: `a=${canary}` }],
    ['SPIDERHUBS_BASE_URL', { SPIDERHUBS_BASE_URL: 'api.spiderhubs.com' }],
    ['SPIDERHUBS_BASE_URL', { SPIDERHUBS_BASE_URL: 'http://api.spiderhubs.com' }],
    ['SPIDERHUBS_BASE_URL', { SPIDERHUBS_BASE_URL: 'http://127.0.0.1.example.com' }],
    ['SPIDERHUBS_BASE_URL', { SPIDERHUBS_BASE_URL: 'https://me@api.example' }],
    ['SPIDERHUBS_BASE_URL', { SPIDERHUBS_BASE_URL: 'https://:word@api.example' }],
    ['SPIDERHUBS_BASE_URL', { SPIDERHUBS_BASE_URL: 'https://api.example/?a=1' }],
    ['SPIDERHUBS_BASE_URL', { SPIDERHUBS_BASE_URL: 'ftp://api.example' }],
    ['NODE_TLS_REJECT_UNAUTHORIZED', { NODE_TLS_REJECT_UNAUTHORIZED: '0' }],
    ['REDIS_URL', { REDIS_URL: 'localhost:6379' }],
    ['REDIS_URL', { REDIS_URL: 'http://localhost:6379' }],
    ['RESHOOT_NAMESPACE', { RESHOOT_NAMESPACE: 'a{b}' }],
    ['RESHOOT_RATE_LIMIT', { RESHOOT_RATE_LIMIT: '0' }],
    ['RESHOOT_RATE_LIMIT', { RESHOOT_RATE_LIMIT: '2.5' }],
    ['RESHOOT_RATE_WINDOW', { RESHOOT_RATE_WINDOW: '60' }],
    ['RESHOOT_RATE_WINDOW', { RESHOOT_RATE_WINDOW: '0s' }],
    ['RESHOOT_LOG_LEVEL', { RESHOOT_LOG_LEVEL: 'loud' }],
    ['HTTPS_PROXY', { HTTPS_PROXY: 'not an address' }],
  ])('refuses a wrong %s by its name and shows no key: %o', (name, env: Record<string, string>) => {
    expect(complaint(env)).toContain(name);
    expect(complaint(env)).not.toContain(canary);
  });

  it('sends the API through a proxy but where NO_PROXY or the loopback spares it', () => {
    const proxy = 'http://proxy.example:3128';
    const proxyOf = (env: Record<string, string>) => readConfig({ HTTPS_PROXY: proxy, ...env }).proxy;
    expect(proxyOf({})).toBe(proxy);
    expect(readConfig({ https_proxy: proxy }).proxy).toBe(proxy);
    expect(proxyOf({ NO_PROXY: 'localhost, hubs.com' })).toBe(proxy);
    for (const spared of [
      '*',
      'spiderhubs.com',
      '.spiderhubs.com',
      '*.spiderhubs.com',
      'x,api.spiderhubs.com',
    ])
      expect(proxyOf({ NO_PROXY: spared })).toBeUndefined();
    expect(proxyOf({ no_proxy: 'spiderhubs.com' })).toBeUndefined();
    for (const host of ['localhost', '127.0.0.1', '127.9.9.9', '[::1]'])
      expect(proxyOf({ SPIDERHUBS_BASE_URL: `http://${host}:4010` })).toBeUndefined();
  });
});

describe('.env', () => {
  /** What an environment becomes by a `.env` of these bytes. */
  const loaded = (bytes: string | Buffer, env: Record<string, string> = {}): Record<string, string> => {
    writeFileSync(join(folder, '.env'), bytes);
    loadDotEnv(folder, env);
    return env;
  };

  it('is read with and without a byte order mark, whatever its line ends', () => {
    const text = `SPIDERHUBS_API_KEY=${canary}\r\nREDIS_URL='redis://x' # ours\r\n`;
    const expected = { SPIDERHUBS_API_KEY: canary, REDIS_URL: 'redis://x' };
    expect(loaded(text)).toEqual(expected);
    expect(loaded(`\uFEFF${text}`)).toEqual(expected);
  });

  it('gives way to the environment, also where that is empty', () => {
    expect(loaded('A=file\nB=file\nC=file', { A: 'own', B: '' })).toEqual({ A: 'own', B: '', C: 'file' });
  });

  it('may be absent, but is UTF-8', () => {
    expect(() => loadDotEnv(join(folder, 'nowhere'), {})).not.toThrow();
    const wide = Buffer.from(`\uFEFFSPIDERHUBS_API_KEY=${canary}`, 'utf16le');
    for (const bytes of [wide, wide.subarray(2), Buffer.from('A=caf\xE9', 'latin1')]) {
      expect(() => loaded(bytes)).toThrow('.env is not UTF-8: save it as UTF-8');
      expect(() => loaded(bytes)).toThrow(UsageError);
    }
  });
});

describe('parseDuration', () => {
  it('reads a number with its unit and nothing else', () => {
    const texts = ['300s', '500ms', '2m', '1h', ' 1.5 s '];
    expect(texts.map(parseDuration)).toEqual([300_000, 500, 120_000, 3_600_000, 1500]);
    for (const wrong of ['', '60', 's', '-1s', '0s', '1d', '1e3s', '1s2', 'Infinity s'])
      expect(parseDuration(wrong)).toBeUndefined();
  });
});

describe('Secret', () => {
  it('prints nowhere but where it is revealed', () => {
    const account = { name: 'shop', key: new Secret(canary) };
    const shown = [
      String(account.key),
      ['key: ', account.key].join(''),
      JSON.stringify(account),
      inspect(account, { depth: 9, showHidden: true }),
      JSON.stringify(structuredClone(account.key)),
      Object.values(account.key).join(''),
    ];
    for (const text of shown) expect(text).not.toContain(canary);
    expect(account.key.reveal()).toBe(canary);
  });
});
