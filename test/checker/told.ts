import { createHash } from 'node:crypto';
import { parse } from 'csv-parse/sync';
import type { Files, Violation } from './scene.ts';

type Charge = 'yes' | 'no' | 'unknown';

/** `.reshoot/calls/<aa>/<hash of id>/<n>.json`, as far as it is judged by. */
export interface CallRecord {
  v: number;
  run: string;
  id: string;
  n: number;
  route: number;
  account: string;
  origin: string;
  owner: { host: string; pid: number };
  started_at: string;
  fingerprint: string;
  prompt: string;
  size: string;
  ratio: string;
  sources: { kind: string; sha256?: string; url?: string; path?: string; mtimeMs?: number; ino?: number }[];
  changes?: string[];
  paid_by?: { id: string; n: number };
  after?: { id: string; n: number }[];
  closed?: {
    at: string;
    ms: number;
    outcome: string;
    charged: Charge;
    error_code?: string;
    http_status?: number;
    picture?: PictureRecord;
  };
}

interface PictureRecord {
  mime: string;
  ext: string;
  width: number;
  height: number;
  verified: boolean;
  bytes: number;
  sha256: string;
  output: string;
}

/** A line of `plan.jsonl`. */
export interface PlanRow {
  row: number;
  id: string;
  prompt: string;
  size: string;
  ratio: string;
  route: number;
  output: string;
  columns: Record<string, string>;
  pictures: { kind: string; path?: string; url?: string; mtimeMs?: number; ino?: number }[];
  selected: boolean;
  invalid?: string;
  repeats?: boolean;
}

/** `runs/<run>/rows/<row>.json`. */
interface Note {
  v: number;
  row: number;
  status: string;
  error_code?: string;
  paid_by?: { id: string; n: number };
  output?: string;
}

export interface Summary {
  run: string;
  manifest: string;
  finished_at: string;
  rows: Record<string, number>;
  chosen: Record<string, number>;
  calls: number;
  credits: { charged: number; unknown: number };
  credits_all_runs: { charged: number; unknown: number };
  perhaps_twice: number;
  by_route: Record<string, { calls: number; succeeded: number }>;
  by_error: Record<string, number>;
  latency_ms: Record<string, number | null>;
  exit_code: number;
}

export interface Run {
  run: string;
  options: {
    v: number;
    manifest: string;
    started_at: string;
    rows: number;
    columns: string[];
    max_attempts: number;
    max_credits?: number;
    max_credits_per_day?: number;
    time_zone?: string;
    retry_budget: number;
    timeout_ms: number;
    force: boolean;
    again?: string;
  };
  plan: PlanRow[];
  notes: Map<number, Note>;
  end?: { v: number; stop?: { code: number; reason: string }; summary: Summary };
  state?: string;
}

/** A line of `results.jsonl`; the user's own columns stand beside. */
export interface Result extends Record<string, unknown> {
  id: string;
  row: number;
  status: string;
  output: string | null;
  error_code: string | null;
  attempts: number;
  charged: Charge;
  credits: number;
  credits_unknown: number;
  mime: string | null;
  width: number | null;
  height: number | null;
  bytes: number | null;
  sha256: string | null;
  calls: {
    n: number;
    route: number;
    account: string;
    started_at: string;
    ms: number | null;
    http_status: number | null;
    outcome: string;
    charged: Charge;
    error_code: string | null;
    changes?: string[];
  }[];
}

export type Line = Record<string, string>;

export interface Report {
  summary: Summary;
  results: Result[];
  /** The tables, a line a record. */
  csv: Record<'results' | 'failed' | 'calls' | 'runs', Line[]>;
}

/** What an output tells. */
export interface Told {
  folder: string;
  files: Files;
  /** Names of the files that are neither records nor reports, by their SHA-256. */
  pictures: Map<string, string[]>;
  /** By the row's id, ascending. */
  stories: Map<string, CallRecord[]>;
  /** Of rows' contents: who took each on. */
  takers: { fingerprint: string; id: string; run?: string }[];
  /** Lines of the index, by the hash of the row's id. */
  index: Map<string, CallRecord[]>;
  /** The oldest first. */
  runs: Run[];
  report: Report | undefined;
  /** What could not be read. */
  damages: Violation[];
}

const recordName = /^\.reshoot\/calls\/([0-9a-f]{2})\/([0-9a-f]{40})\/(\d+)\.json$/;
const runName = /^\.reshoot\/runs\/([^/]+)\/run\.json$/;
const takerName = /^\.reshoot\/done\/[0-9a-f]{2}\/([0-9a-f]{64})(?:\.\d+)?\.json$/;

/** A file on its way to its name. */
export const isTemporary = (name: string): boolean => /(^|\/)\.reshoot-[\w-]+\.tmp$/.test(name);

/** Is it what was paid for, wherever it lies, rather than what is written about it? */
const isPicture = (name: string): boolean =>
  !isTemporary(name) && /^(?!\.reshoot\/|report\/)|^\.reshoot\/(spool|rejected|replaced)\//.test(name);

/** Reads an output's files; nothing of it is believed yet. */
export function tellOf(folder: string, files: Files): Told {
  const damages: Violation[] = [];
  const told: Told = {
    folder,
    files,
    pictures: new Map(),
    stories: new Map(),
    takers: [],
    index: new Map(),
    runs: [],
    report: undefined,
    damages,
  };
  /** Undefined: it isn't there, or damaged, which is noted. */
  const read = <T>(name: string, parsed: (text: string) => T): T | undefined => {
    const content = files.get(name);
    if (!content) return undefined;
    try {
      return parsed(content.toString('utf8'));
    } catch (error) {
      damages.push({
        invariant: name.startsWith('report/') ? 'I1' : 'D6',
        said: `${name}: ${String(error)}`,
      });
      return undefined;
    }
  };
  const lines = <T>(text: string): T[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as T);

  for (const [name, content] of files) {
    if (!isPicture(name)) continue;
    const sha256 = createHash('sha256').update(content).digest('hex');
    told.pictures.set(sha256, [...(told.pictures.get(sha256) ?? []), name]);
  }
  for (const name of [...files.keys()].sort()) {
    if (recordName.test(name)) {
      const call = read(name, (text) => sound(versioned(JSON.parse(text) as CallRecord), name));
      if (call) told.stories.set(call.id, [...(told.stories.get(call.id) ?? []), call]);
    }
    const fingerprint = takerName.exec(name)?.[1];
    const taker =
      fingerprint && read(name, (text) => versioned(JSON.parse(text) as { id: string; run?: string }));
    if (taker) told.takers.push({ fingerprint, ...taker });
    const run = runName.exec(name)?.[1];
    const options = run && read(name, (text) => versioned(JSON.parse(text) as Run['options']));
    if (run && options) told.runs.push(readRun(run, options));
  }
  for (const calls of told.stories.values()) calls.sort((a, b) => a.n - b.n);
  for (const line of read('.reshoot/index.jsonl', lines<{ key?: string; calls: CallRecord[] }>) ?? [])
    if (line.key !== undefined) told.index.set(line.key, line.calls);
  told.report = readReport();
  return told;

  function readRun(run: string, options: Run['options']): Run {
    const at = `.reshoot/runs/${run}`;
    const notes = new Map<number, Note>();
    for (const name of files.keys()) {
      const note =
        name.startsWith(`${at}/rows/`) && read(name, (text) => versioned(JSON.parse(text) as Note));
      if (note) notes.set(note.row, note);
    }
    const end = read(`${at}/end.json`, (text) => versioned(JSON.parse(text) as NonNullable<Run['end']>));
    const state = read(`${at}/state.json`, (text) => versioned(JSON.parse(text) as { state: string }))?.state;
    const plan = read(`${at}/plan.jsonl`, lines<PlanRow>) ?? [];
    return { run, options, plan, notes, ...(end && { end }), ...(state !== undefined && { state }) };
  }

  function readReport(): Report | undefined {
    const table = (name: string): Line[] | undefined =>
      read(`report/${name}.csv`, (text) => parse(text, { bom: true, columns: true }));
    const summary = read('report/summary.json', (text) => JSON.parse(text) as Summary);
    const results = read('report/results.jsonl', lines<Result>);
    const [rows, failed, calls, runs] = ['results', 'failed', 'calls', 'runs'].map(table);
    if (!summary || !results || !rows || !failed || !calls || !runs) return undefined;
    return { summary, results, csv: { results: rows, failed, calls, runs } };
  }
}

/** @throws Error where it names no version that there is */
function versioned<T>(value: T): T {
  const { v } = value as { v?: unknown };
  if (v !== 1 && v !== 2) throw new Error(`version ${String(v)}`);
  return value;
}

/** A record whose fields are of the right kind. @throws Error naming one that isn't */
function sound(call: CallRecord, name: string): CallRecord {
  const [, , , n] = recordName.exec(name) ?? [];
  const texts = ['run', 'id', 'account', 'origin', 'fingerprint', 'prompt', 'size', 'ratio'] as const;
  for (const field of texts) if (typeof call[field] !== 'string') throw new Error(`no ${field}`);
  if (call.n !== Number(n)) throw new Error(`says that it is call ${call.n}`);
  if (call.route !== 1 && call.route !== 2) throw new Error(`route ${String(call.route)}`);
  if (!Number.isFinite(Date.parse(call.started_at))) throw new Error(`started at ${call.started_at}`);
  if (!Array.isArray(call.sources) || !Number.isInteger(call.owner.pid)) throw new Error('damaged');
  const { closed } = call;
  if (closed && !['yes', 'no', 'unknown'].includes(closed.charged)) throw new Error('no charge');
  if (closed && (closed.outcome === 'succeeded') !== (closed.picture !== undefined))
    throw new Error(`${closed.outcome} ${closed.picture ? 'with' : 'without'} a picture`);
  return call;
}

/** A call that went to the API, rather than the note that another row's brought the picture. */
export const isCall = (call: CallRecord): boolean => call.paid_by === undefined;

/** Those that went to the API, of all rows. */
export const callsOf = ({ stories }: Pick<Told, 'stories'>): CallRecord[] =>
  [...stories.values()].flat().filter(isCall);

export const chargeOf = ({ closed }: CallRecord): Charge => closed?.charged ?? 'unknown';

/** A row's folder of records is called so. */
export const keyOf = (id: string): string => createHash('sha256').update(id).digest('hex').slice(0, 40);

/** A call's answer is called so, in the spool and among the useless ones. */
export const answerOf = ({ id, n }: CallRecord): string => `${keyOf(id)}-${n}`;

export const nameOf = ({ id, n }: Pick<CallRecord, 'id' | 'n'>): string => `call ${n} of ${id}`;

/** Ends that use up no attempt: nothing was sent, or the account was told to wait or is refused. */
const free = new Set([
  'dns_failed',
  'connect_refused',
  'connect_timeout',
  'tls_failed',
  'not_sent',
  'rate_limited',
  'unauthorized',
  'forbidden',
  'firewall',
  'no_credit',
  'redirected',
]);

export const isAttempt = (call: CallRecord): boolean =>
  isCall(call) && !free.has(call.closed?.error_code ?? '');

/** What is paid for: the very same is not to be paid for again. */
export const askedBy = ({ origin, prompt, size, ratio, sources }: CallRecord): string =>
  JSON.stringify([origin, prompt, size, ratio, sources.map(({ url, sha256 }) => url ?? sha256)]);
