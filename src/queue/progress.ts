import type { ChainableCommander, Redis } from 'ioredis';
import type { ErrorCode } from '../errors.ts';
import type { DeskKey } from './keys.ts';

const counted = ['succeeded', 'skipped', 'failed', 'failed before', 'held', 'left out'] as const;
const bitmaps = ['settled', ...counted] as const;

/** How a row ended, as far as the desk cares. `failed before`: for good, in an earlier run; `left out`: not chosen, or invalid; `other`: never done. */
export type RowEnd = (typeof counted)[number] | 'other';

/** Settled rows, all of them and by their end. */
export type Progress = Record<(typeof bitmaps)[number], number>;

/** What a run's calls were like. */
export interface Pulse {
  /** Calls that ended. */
  calls: number;
  /** Mean length of about the last thirty that were answered, in milliseconds. */
  latencyMs: number | undefined;
  /** Failed calls by code, the most frequent first. */
  errors: { code: ErrorCode; times: number; lastId: string }[];
}

/** How far the runs are: one bit a row, since counters would count a row twice that is settled twice. */
export interface ProgressBook {
  /** Sets a row's bit; doing it again changes nothing. */
  settle(run: string, row: number, end: RowEnd): Promise<Progress>;
  /** Sets many rows' bits. */
  settleAll(run: string, rows: { row: number; end: RowEnd }[]): Promise<void>;
  /** Sets the bits of rows that ended alike. */
  settleAlike(run: string, rows: readonly number[], end: RowEnd): Promise<void>;
  progress(run: string): Promise<Progress>;
  /** Tells of each row whether it is settled. */
  settled(run: string): Promise<(row: number) => boolean>;
  /** A call has ended: for people who look at the run. */
  noteCall(run: string, call: { id: string; ms: number; code: ErrorCode | undefined }): Promise<void>;
  pulse(run: string): Promise<Pulse>;
  /** Forgets a run's progress. */
  forget(run: string): Promise<void>;
}

/** KEYS pulse. ARGV code or '', id, milliseconds. */
const noteScript = `
redis.call('HINCRBY', KEYS[1], 'calls', 1)
if ARGV[1] ~= '' then
  redis.call('HINCRBY', KEYS[1], 'times:' .. ARGV[1], 1)
  redis.call('HSET', KEYS[1], 'last:' .. ARGV[1], ARGV[2])
else
  local mean = tonumber(redis.call('HGET', KEYS[1], 'latency')) or tonumber(ARGV[3])
  redis.call('HSET', KEYS[1], 'latency', string.format('%.0f', mean + (ARGV[3] - mean) / 30))
end
return 1`;

export function createProgress(redis: Redis, key: DeskKey): ProgressBook {
  const of = (run: string, what: string): string => key('run', run, what);
  const settleAll: ProgressBook['settleAll'] = async (run, rows) => {
    const ends = new Map<RowEnd, number[]>();
    for (const { row, end } of rows)
      ends
        .set(end, ends.get(end) ?? [])
        .get(end)
        ?.push(row);
    for (const [end, some] of ends) await settleAlike(run, some, end);
  };
  const settleAlike: ProgressBook['settleAlike'] = async (run, rows, end) => {
    const bits = bitsOf(rows);
    const batch = redis.multi();
    setBits(batch, run, 'settled', bits);
    if (end !== 'other') setBits(batch, run, end, bits);
    await batch.exec();
  };
  /** Adds a whole bitmap at once: a command a bit would take seconds for a million rows. */
  const setBits = (batch: ChainableCommander, run: string, what: string, bits: Buffer): void => {
    const added = of(run, 'added');
    batch.set(added, bits).bitop('OR', of(run, what), of(run, what), added).del(added);
  };
  const progress: ProgressBook['progress'] = async (run) => {
    const counts = bitmaps.map(async (what) => [what, await redis.bitcount(of(run, what))] as const);
    return Object.fromEntries(await Promise.all(counts)) as Progress;
  };

  return {
    async settle(run, row, end) {
      await settleAll(run, [{ row, end }]);
      return progress(run);
    },
    settleAll,
    settleAlike,
    progress,
    async settled(run) {
      const map = (await redis.getBuffer(of(run, 'settled'))) ?? Buffer.alloc(0);
      return (row) => ((map[row >> 3] ?? 0) & bitOf(row)) !== 0;
    },
    async noteCall(run, { id, ms, code = '' }) {
      await redis.eval(noteScript, 1, of(run, 'pulse'), code, id, ms);
    },
    pulse: async (run) => pulseOf(await redis.hgetall(of(run, 'pulse'))),
    async forget(run) {
      await redis.del(...[...bitmaps, 'pulse'].map((what) => of(run, what)));
    },
  };
}

/** A row's bit in its byte, as Redis counts bits. */
const bitOf = (row: number): number => 0x80 >> (row & 7);

function bitsOf(rows: readonly number[]): Buffer {
  const last = rows.reduce((most, row) => Math.max(most, row), 0);
  const bits = Buffer.alloc((last >> 3) + 1);
  for (const row of rows) bits[row >> 3] = (bits[row >> 3] ?? 0) | bitOf(row);
  return bits;
}

function pulseOf(fields: Record<string, string>): Pulse {
  const errors = Object.entries(fields).flatMap(([field, times]) => {
    const code = /^times:(.+)$/.exec(field)?.[1] as ErrorCode | undefined;
    return code ? [{ code, times: Number(times), lastId: fields[`last:${code}`] ?? '' }] : [];
  });
  const { calls = 0, latency } = fields;
  return {
    calls: Number(calls),
    latencyMs: latency === undefined ? undefined : Number(latency),
    errors: errors.sort((a, b) => b.times - a.times),
  };
}
