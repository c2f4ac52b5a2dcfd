/**
 * The sample catalogue against the simulator: `npm run demo`. Costs nothing and needs no key. Everything it writes goes
 * below demo/ in the working folder; the user's own queue, key and settings are left alone.
 */
// @ts-check
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startSimulator } from '../dist/src/index.js';

/**
 * @typedef {object} Result a line of results.jsonl, as far as it is told here
 * @property {string} id
 * @property {string} status
 * @property {string} error_message
 * @property {number} attempts
 * @property {{ error_code: string | null, charged: string }[]} calls
 */

/** What a run of the sample catalogue ends with, since one of its rows fails for good. */
const someFailedForGood = 6;

const root = fileURLToPath(new URL('..', import.meta.url));
const manifest = relative('', join(root, 'examples/catalogue.csv'));
const output = join('demo', new Date().toISOString().slice(0, 19).replaceAll(':', '-'));

const simulator = await startSimulator({ latency: { min: 2000, max: 5000 } });
try {
  await mkdir(output, { recursive: true });
  const args = ['run', manifest, '-o', output, '-y'];
  say(`The sample catalogue, against an API that this program simulates. As if you gave:
  npx reshoot ${args.join(' ')}
`);
  const code = await run(args);
  if (code === someFailedForGood) say(await story());
  else process.exitCode = code;
} finally {
  await simulator.close();
}

/**
 * The command as a process of its own, on this terminal.
 * @param {string[]} args
 * @returns {Promise<number>} its exit code
 */
async function run(args) {
  const child = spawn(process.execPath, [join(root, 'dist/src/bin.js'), ...args], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...settings() },
  });
  // The run finishes its calls first, and needs the simulator for that. Ctrl-C reaches it by itself.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  const [code] = await once(child, 'exit');
  return code ?? 1;
}

/** Every one is named, for what the environment says wins over the user's `.env`, also where it is empty. */
function settings() {
  return {
    SPIDERHUBS_BASE_URL: simulator.url,
    SPIDERHUBS_API_KEY: 'sk_live_demo',
    SPIDERHUBS_API_KEY_FILE: '',
    SPIDERHUBS_API_KEYS: '',
    REDIS_URL: '',
    RESHOOT_NAMESPACE: '',
    // The same for all demos, so that a Redis which a killed one left behind is found by the next.
    RESHOOT_STATE_DIR: resolve('demo', '.state'),
    RESHOOT_RATE_LIMIT: '',
    RESHOOT_RATE_WINDOW: '',
    RESHOOT_LOG_LEVEL: '',
  };
}

/** What happened, what it cost, where it is, what to try next. */
async function story() {
  const report = join(output, 'report');
  const { rows, calls, credits } = JSON.parse(await readFile(join(report, 'summary.json'), 'utf8'));
  const lines = (await readFile(join(report, 'results.jsonl'), 'utf8')).trim().split('\n');
  /** @type {Result[]} */
  const results = lines.map((line) => JSON.parse(line));
  const again = results.filter(({ status, attempts }) => status === 'succeeded' && attempts > 1);
  const failed = results.filter(({ status }) => status === 'failed');
  return `
What happened
  ${rows.succeeded} of ${results.length} rows have their picture, ${rows.failed} failed.
${again.map((row) => `  ${row.id} needed a second call: ${causes(row)}.`).join('\n')}
${failed.map((row) => `  ${row.id} failed for good: ${row.error_message}`).join('\n')}
  Their prompts say so, [sim:…] being orders to the simulator. Since a row failed for good the run itself
  ended with exit code ${someFailedForGood}.
What it cost
  Nothing. By the API it would have been ${calls} calls: ${credits.charged} credits charged, ${credits.unknown} more perhaps.
Where it is
  Pictures  ${output}/
  Report    ${join(report, 'index.html')}
  The pictures are the simulator's: the reference before a new ground. The model's will look different.
What to try next
  The same once more: what is done is skipped, and nothing is paid.
    SPIDERHUBS_BASE_URL=${simulator.url} SPIDERHUBS_API_KEY=sk_live_demo npx reshoot run ${manifest} -o ${output}
  Your own catalogue: a folder with a manifest to fill in, what is wrong with it, and what it would cost. That needs no key.
    npx reshoot init shop && cd shop
    npx reshoot check manifest.csv -o out
  Then for real: put your key into .env, and begin with five rows.
    npx reshoot run manifest.csv -o out --limit 5
`;
}

/** @param {Result} row */
function causes({ calls }) {
  const failed = calls.filter(({ error_code: code }) => code !== null);
  return failed.map(({ error_code: code, charged }) => `${code}, charged: ${charged}`).join('; ');
}

/** @param {string} text */
function say(text) {
  process.stdout.write(text);
}
