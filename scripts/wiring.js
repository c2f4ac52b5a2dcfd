/**
 * Proves the wiring of docker-compose.yml without Docker: starts the processes of its demo profile with the commands,
 * settings and healthchecks that stand there, two workers of them, and sees whether they share the work.
 * Only what tells containers apart is bent: every service is on 127.0.0.1, on a port that is free.
 *
 *     node scripts/wiring.js [DIR]   DIR is worked in and kept, with the simulator's log in it
 */
// @ts-check
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

/**
 * @typedef {object} Service
 * @property {string} command
 * @property {string} [build] without it the image is somebody else's, and its command a whole one
 * @property {Record<string, string | null>} [environment]
 * @property {{ test: string }} [healthcheck]
 */

/**
 * @typedef {object} Running
 * @property {string} name
 * @property {import('node:child_process').ChildProcess} child
 * @property {() => string} stdout what it has said so far
 * @property {Promise<unknown>} ended
 */

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'dist/src/bin.js');
/** The demo's run ends so, since one of its rows fails for good. */
const someFailedForGood = 6;
const patienceMs = 15_000;
/** A process that is still there after this long is told to end. */
const longestMs = 90_000;

checkByClient();
/** @type {{ services: Record<string, Service> }} */
const { services } = parse(await readFile(join(root, 'docker-compose.yml'), 'utf8'), { merge: true });
const kept = process.argv[2];
const work = kept ?? (await mkdtemp(join(tmpdir(), 'reshoot-wiring-')));
const ports = { redis: await freePort(), simulator: await freePort() };
/** @type {Running[]} */
const started = [];

try {
  await cp(join(root, 'examples'), join(work, 'examples'), { recursive: true });
  await start('redis', ['--bind', '127.0.0.1', '--port', String(ports.redis), '--dir', work]);
  const simulator = await start('simulator');
  const workers = [await start('demo-worker'), await start('demo-worker')];
  const run = await start('demo');
  await run.ended;
  check(
    run.child.exitCode === someFailedForGood,
    `the run ended with ${run.child.exitCode}:\n${run.stdout()}`,
  );
  process.stdout.write(run.stdout());
  await writeFile(join(work, 'simulator.jsonl'), simulator.stdout());
  checkShares(simulator, [...workers, run]);
} finally {
  for (const running of started.toReversed()) await stop(running);
  if (kept === undefined) await rm(work, { recursive: true, force: true });
}

/** What Docker's own client says of the file, where there is one. */
function checkByClient() {
  const clients = [['docker', 'compose'], ['docker-compose']];
  const client = clients.find(
    ([program = '', ...args]) => spawnSync(program, [...args, 'version']).status === 0,
  );
  if (!client) return say('docker compose config: not tried, for there is no such client here');
  const [program = '', ...args] = client;
  const options = { cwd: root, encoding: /** @type {const} */ ('utf8') };
  const { status, stderr } = spawnSync(program, [...args, '--profile', 'demo', 'config', '-q'], options);
  check(status === 0, `${client.join(' ')} config refuses docker-compose.yml: ${stderr}`);
  say(`${client.join(' ')} config: passes`);
}

/**
 * A process of the service, up and healthy.
 * @param {string} name
 * @param {string[]} further arguments that stand for what a container has of itself
 * @returns {Promise<Running>}
 */
async function start(name, further = []) {
  const service = services[name];
  if (!service) throw new Error(`docker-compose.yml has no service ${name}`);
  const words = bent(service.command).split(' ');
  const [program = '', ...args] = service.build ? [process.execPath, bin, ...words] : words;
  const env = environmentOf(service);
  const child = spawn(program, [...args, ...further], {
    cwd: work,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: longestMs,
  });
  let said = '';
  child.stdout.on('data', (chunk) => (said += chunk));
  const running = { name, child, stdout: () => said, ended: once(child, 'close') };
  started.push(running);
  await once(child, 'spawn');
  const { test } = service.healthcheck ?? {};
  if (test !== undefined) await healthy(running, ofProcess(bent(test), child.pid), env);
  say(`${name}, process ${child.pid}: ${words.join(' ')}`);
  return running;
}

/**
 * @param {Running} running
 * @param {string} test
 * @param {NodeJS.ProcessEnv} env
 */
async function healthy({ name, child }, test, env) {
  for (const until = Date.now() + patienceMs; Date.now() < until; await sleep(100)) {
    check(child.exitCode === null, `${name} ended with ${child.exitCode}`);
    if (spawnSync('sh', ['-c', test], { env }).status === 0) return;
  }
  throw new Error(`${name} does not become healthy by: ${test}`);
}

/** @param {Service} service */
function environmentOf({ environment = {} }) {
  const given = Object.entries(environment).filter(([, value]) => value !== null);
  const settings = Object.fromEntries(given.map(([name, value]) => [name, bent(String(value))]));
  return { PATH: process.env['PATH'], HOME: work, ...settings };
}

/**
 * As compose reads it, and with this machine's addresses.
 * @param {string} text
 */
function bent(text) {
  return text
    .replaceAll('$$', '$')
    .replaceAll('//redis:', '//127.0.0.1:')
    .replaceAll(/\b6379\b/g, String(ports.redis))
    .replaceAll(/\b4141\b/g, String(ports.simulator));
}

/**
 * A worker's test looks for its container's name, which here is the same for all: it shall look for its process.
 * @param {string} test
 * @param {number | undefined} pid
 */
function ofProcess(test, pid) {
  return test.replace('"host\\":\\"$(hostname)', `"pid\\":${pid}`);
}

/**
 * Every process has made pictures, and every picture was made by one of them.
 * @param {Running} simulator
 * @param {Running[]} workers
 */
function checkShares(simulator, workers) {
  const calls = simulator
    .stdout()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  const pictures = calls.filter(({ outcome }) => outcome === 'succeeded');
  const shares = workers.map(({ name, child }) => ({
    name: `${name}, process ${child.pid}`,
    made: pictures.filter(({ process: pid }) => pid === String(child.pid)).length,
  }));
  for (const { name, made } of shares) say(`${name}: ${made} pictures`);
  check(
    shares.every(({ made }) => made > 0),
    'not every process has made a picture',
  );
  const sum = shares.reduce((total, { made }) => total + made, 0);
  check(sum === pictures.length, `${pictures.length} pictures, ${sum} of them by these processes`);
}

/** @param {Running} running */
async function stop({ child, ended }) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const killing = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  await ended;
  clearTimeout(killing);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await once(server.close(), 'close');
  return typeof address === 'object' && address ? address.port : 0;
}

/**
 * @param {boolean} holds
 * @param {string} message
 */
function check(holds, message) {
  if (!holds) throw new Error(message);
}

/** @param {string} line */
function say(line) {
  process.stdout.write(`${line}\n`);
}
