import { hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { printable } from '../cells.ts';
import { UsageError } from '../errors.ts';
import { accountOf, createAccounts, type Account } from './account.ts';
import { pictureAnswer, replyTo, type Reply } from './answer.ts';
import { now, type SimulatedCall } from './call-log.ts';
import { chanceOf, type Random } from './chance.ts';
import type { Counting } from './counting.ts';
import { readEdit, type Edit } from './edit.ts';
import { drawFault, nextStep, parseMarker, type Fault, type LikelyFault } from './faults.ts';
import { createGallery } from './gallery.ts';
import { Refusal } from './refusal.ts';
import { readBody } from './transport.ts';

/** How the simulated API behaves. */
export interface DeskOptions {
  /** Milliseconds from a call's arrival to its answer; by default none. */
  latency?: { min: number; max: number };
  /** Calls an account in a window; 30 by default. */
  limit?: number;
  /** Milliseconds; 60,000 by default. */
  windowMs?: number;
  /** How the limit counts; `sliding`, the strictest reading of the API's page, by default. */
  counting?: Counting;
  /** Struck by chance, where the prompt has no marker. */
  faults?: LikelyFault[];
  /** Of each account; endless by default. */
  credits?: number;
  /** Of all chance; 1 by default. */
  seed?: number;
  /** Milliseconds that a call's headers are held up before the limit counts them; by default none. */
  countAfterMs?: () => number;
  /** The limit counts a call when its headers are there, the default, or not before its whole body is. */
  countAt?: 'headers' | 'body';
}

/** A reply and what the log says of it. */
export interface Verdict {
  reply: Reply;
  outcome: string;
  charged: boolean;
}

/**
 * What the API does with a call, in its order: key, limit, body, validation, fault, credits, latency, picture, charge.
 * It writes into the call what it learns of it. @throws Refusal
 */
export type Desk = (request: IncomingMessage, call: SimulatedCall, stop: AbortSignal) => Promise<Verdict>;

const path = '/openapi/v1/image/gpt-image-2/i2i';

export function createDesk(options: DeskOptions): Desk {
  const { limit = 30, windowMs = 60_000, counting = 'sliding', countAt = 'headers' } = options;
  const { credits = Infinity, seed = 1, faults = [] } = options;
  const accountNamed = createAccounts({ counting, limit, windowMs }, credits);
  const script = createScript();
  const work = createWork(options);
  return async (request, call, stop) => {
    const random = chanceOf(seed, call.n);
    checkAddress(request);
    const account = accountNamed(admit(request, call));
    const delay = options.countAfterMs?.() ?? 0;
    if (delay > 0) await sleep(delay, undefined, { signal: stop });
    if (countAt === 'headers') count(account, call, random);
    const likely = drawFault(faults, random);
    if (likely?.when === 'arrival') return strike(likely, random);
    checkType(request);
    const body = await readBody(request);
    if (countAt === 'body') count(account, call, random);
    const edit = readEdit(body);
    const { route, prompt, reference } = edit;
    Object.assign(call, { route, row: printable(prompt, 80), reference: hash('sha256', reference) });
    const scripted = script(edit);
    const fault = scripted ? scripted.fault : likely;
    return fault && fault.when !== 'work' ? strike(fault, random) : work(edit, fault, account, random, stop);
  };
}

function checkAddress({ url, method }: IncomingMessage): void {
  if (url?.split('?')[0] !== path) throw new Refusal(404, 'unknown_address', 'not found');
  if (method !== 'POST') {
    throw new Refusal(405, 'wrong_method', 'method not allowed, use POST', { allow: 'POST' });
  }
}

function admit(request: IncomingMessage, call: SimulatedCall): string {
  const name = accountOf(request.headers.authorization);
  if (name === undefined) throw new Refusal(401, 'bad_key', 'invalid api key');
  call.account = name;
  return name;
}

function count(account: Account, call: SimulatedCall, random: Random): void {
  call.at = now();
  const wait = account.count(call.at);
  if (wait !== undefined)
    throw new Refusal(429, 'rate_limited', 'too many requests', retryAfter(wait, random));
}

/** The API's page doesn't promise the header, so that about half of the refusals carry it. */
function retryAfter(ms: number, random: Random): Record<string, string> {
  return random() < 0.5 ? { 'retry-after': String(Math.ceil(ms / 1000)) } : {};
}

function checkType(request: IncomingMessage): void {
  if (!/^application\/json\s*(;|$)/i.test(request.headers['content-type'] ?? '')) {
    throw new Refusal(415, 'wrong_type', 'the content-type must be application/json');
  }
}

/** Follows the markers of each prompt with its pictures; undefined for a prompt without one. */
function createScript(): (edit: Edit) => { fault: Fault | undefined } | undefined {
  const spent = new Map<string, Set<number>>();
  return ({ prompt, route, fingerprint }) => {
    const steps = readMarker(prompt);
    if (!steps) return undefined;
    const done = spent.get(fingerprint) ?? new Set<number>();
    spent.set(fingerprint, done);
    return { fault: nextStep(steps, route, done) };
  };
}

function readMarker(prompt: string): ReturnType<typeof parseMarker> {
  try {
    return parseMarker(prompt);
  } catch (error) {
    if (error instanceof UsageError) throw new Refusal(400, 'bad_marker', `prompt: ${error.message}`);
    throw error;
  }
}

/** A fault that strikes before any work: free. */
async function strike(fault: Fault, random: Random): Promise<Verdict> {
  const reply = await replyTo(fault.deed, noPicture, retryAfter(1000, random));
  return { reply, outcome: fault.name, charged: false };
}

async function noPicture(): Promise<Buffer> {
  throw new Error('a fault before any work has no picture');
}

type Work = (
  edit: Edit,
  fault: Fault | undefined,
  account: Account,
  random: Random,
  stop: AbortSignal,
) => Promise<Verdict>;

/**
 * Credit, latency, picture, charge. The picture is made while the latency runs, but not before half of it is over: drawing
 * would keep the other calls of a burst from being counted when they come.
 */
function createWork({ latency = { min: 0, max: 0 } }: DeskOptions): Work {
  const picture = createGallery();
  return async (edit, fault, account, random, stop) => {
    if (!account.reserve()) throw new Refusal(402, 'no_credit', 'insufficient credits');
    let charged = false;
    try {
      const ms = latency.min + random() * (latency.max - latency.min);
      const made = async () => {
        if (ms > 0) await sleep(ms / 2, undefined, { signal: stop });
        return picture(edit);
      };
      const reply = fault ? replyTo(fault.deed, made) : made().then(pictureAnswer);
      const [ready] = await Promise.all([reply, ms > 0 && sleep(ms, undefined, { signal: stop })]);
      charged = isCharged(fault, random);
      return { reply: ready, outcome: fault?.name ?? 'succeeded', charged };
    } finally {
      if (!charged) account.release();
    }
  };
}

function isCharged(fault: Fault | undefined, random: Random): boolean {
  if (fault?.charged === 'coin') return random() < 0.5;
  return fault?.charged !== 'no';
}
