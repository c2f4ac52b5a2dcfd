import { basename } from 'node:path';
import type { Answer, Client, EditRequest } from '../../src/api/client.ts';
import { EditError, type ErrorCode } from '../../src/errors.ts';
import type { Source } from '../../src/model.ts';
import { fingerprint } from '../../src/records/fingerprint.ts';
import { sha256, type Disk } from './disk.ts';
import type { Process, Scheduler } from './scheduler.ts';

export const origin = 'https://api.invalid';

/** What became of a request, as only the API knows. */
export interface Served {
  /** The record's name: key of its row and number. */
  call: string;
  account: string;
  fingerprint: string;
  by: Process;
  /** When its head came, and when its last byte; virtual milliseconds. */
  beganAt: number;
  endedAt: number | undefined;
  charged: boolean;
  /** Of the picture that it made. */
  sha256: string | undefined;
}

/** How often, against each other, a request … */
export type Manners = Record<Manner, number>;
type Manner =
  | 'served'
  | 'never connected'
  | 'unsent'
  | 'answer lost'
  | 'too late'
  | 'gateway'
  | 'failed'
  | 'refused'
  | 'throttled'
  | 'bad'
  | 'empty'
  | 'junk'
  | 'no credit'
  | 'firewall';

export const goodManners: Manners = {
  served: 1,
  'never connected': 0,
  unsent: 0,
  'answer lost': 0,
  'too late': 0,
  gateway: 0,
  failed: 0,
  refused: 0,
  throttled: 0,
  bad: 0,
  empty: 0,
  junk: 0,
  'no credit': 0,
  firewall: 0,
};

const refusals: Partial<Record<Manner, [ErrorCode, number]>> = {
  failed: ['server_error', 500],
  refused: ['content_refused', 400],
  throttled: ['rate_limited', 429],
  bad: ['bad_request', 400],
  'no credit': ['no_credit', 402],
  firewall: ['firewall', 403],
};

export type Api = ReturnType<typeof createApi>;

/**
 * The API, and what it alone knows: what was really sent, when, and what was really paid.
 * @param onBegin told of each request before its first byte is counted
 */
export function createApi(sim: Scheduler, disk: Disk, onBegin: (served: Served) => void) {
  const log: Served[] = [];
  let manners = goodManners;
  let slowestMs = 4000;
  let pictures = 0;
  let charging = 0;
  const waiting = new Map<string, Process>();

  const choose = (): Manner => {
    const all = Object.entries(manners) as [Manner, number][];
    let left = sim.random() * all.reduce((sum, [, share]) => sum + share, 0);
    return all.find(([, share]) => (left -= share) < 0)?.[0] ?? 'served';
  };
  /** The generation goes on, whatever becomes of whoever asked for it. */
  const charge = (served: Served, afterMs: number): void => {
    charging += 1;
    sim.after(undefined, afterMs, () => {
      charging -= 1;
      served.charged = true;
      sim.note(`API charges ${served.call.slice(-8)}`, undefined);
    });
  };

  const edit = async (request: EditRequest): Promise<Answer> => {
    const me = sim.current!;
    const { part, timeoutMs } = request;
    const manner = choose();
    const started = sim.now;
    await sim.ask('open the part', () => disk.spool(part, Buffer.alloc(0)));
    const fail = async (error: EditError): Promise<never> => {
      await sim.ask('discard the part', () => disk.unspool(part));
      sim.note(`call ${basename(part, '.part').slice(-8)}: ${error.code}`);
      throw error;
    };
    await sim.wait(sim.chance(0.1) ? sim.skewed(50, 10_000) : sim.between(1, 50));
    if (manner === 'never connected') return fail(new EditError('connect_refused', 'simulated'));
    try {
      request.beforeSend?.();
    } catch (error) {
      return fail(new EditError('not_sent', (error as Error).message));
    }
    if (manner === 'unsent') return fail(new EditError('not_sent', 'simulated'));
    // A process that died at its last question does not get here in truth.
    if (me.dead) return sim.wait(0) as Promise<never>;
    const served: Served = {
      call: basename(part, '.part'),
      account: request.key,
      fingerprint: fingerprintOf(request),
      by: me,
      beganAt: sim.now,
      endedAt: undefined,
      charged: false,
      sha256: undefined,
    };
    onBegin(served);
    log.push(served);
    sim.note(`SENDS ${served.call.slice(-8)} (${manner})`);
    request.onBegin?.();
    await sim.wait(sim.skewed(1, 300));
    await request.beforeEnd?.();
    // The last byte leaves in the tick in which it was allowed, if its process lives.
    await sim.wait(0);
    served.endedAt = sim.now;
    const latency = sim.skewed(300, slowestMs);
    const left = started + timeoutMs - sim.now;
    const refusal = refusals[manner];
    if (refusal) {
      await sim.wait(latency);
      return fail(new EditError(refusal[0], 'simulated', { status: refusal[1], retryAfterMs: undefined }));
    }
    if (manner === 'gateway' || manner === 'answer lost') {
      if (sim.chance(0.5)) charge(served, sim.skewed(300, 2 * timeoutMs));
      await sim.wait(Math.min(latency, left));
      return fail(new EditError(manner === 'gateway' ? 'gateway_error' : 'reset', 'simulated'));
    }
    if (manner === 'too late' || latency > left) {
      if (sim.chance(0.5)) charge(served, left + sim.skewed(1, timeoutMs));
      await sim.wait(left);
      return fail(new EditError('timeout', 'simulated'));
    }
    charge(served, latency);
    await sim.wait(latency + sim.between(1, 20));
    if (manner === 'empty') return fail(new EditError('empty_answer', 'simulated', { status: 200 }));
    const bytes = Buffer.from(`${manner === 'junk' ? 'junk' : 'picture'} ${(pictures += 1)}`);
    served.sha256 = sha256(bytes);
    await sim.ask('write the answer', () => disk.spool(part, bytes));
    return { status: 200, bytes: bytes.length, sha256: served.sha256, ms: Math.round(sim.now - started) };
  };

  return {
    log,
    client: {
      async edit(request) {
        waiting.set(request.part, sim.current!);
        return edit(request).finally(() => waiting.delete(request.part));
      },
    } satisfies Client,
    /** Nobody waits for an answer, and nothing is about to be charged. */
    isQuiet: (): boolean => charging === 0 && [...waiting.values()].every(({ dead }) => dead),
    behave(next: Manners, slowest: number): void {
      manners = next;
      slowestMs = slowest;
    },
  };
}

function fingerprintOf({ prompt, size, ratio, pictures }: EditRequest): string {
  const sources = pictures.map((picture): Source =>
    'url' in picture
      ? { kind: 'url', url: picture.url }
      : { kind: 'file', path: '', bytes: 0, mtimeMs: 0, ino: 0, sha256: sha256(picture.bytes) },
  );
  return fingerprint(origin, { prompt, size, ratio }, sources);
}
