import { hash } from 'node:crypto';
import { z } from 'zod';
import { codes, costsAttempt, type ErrorCode } from '../errors.ts';
import { ratios, type Charge } from '../model.ts';
import { ownerSchema } from '../owner.ts';

const charge = z.enum(['yes', 'no', 'unknown']);
const route = z.union([z.literal(1), z.literal(2)]);
const errorCode = z.enum(Object.keys(codes) as [ErrorCode, ...ErrorCode[]]);

export const sourceSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('file'),
    path: z.string(),
    bytes: z.number(),
    mtimeMs: z.number(),
    ino: z.number(),
    sha256: z.string(),
  }),
  z.object({ kind: z.literal('url'), url: z.string() }),
]);

const pictureSchema = z.object({
  mime: z.string(),
  ext: z.string(),
  width: z.number(),
  height: z.number(),
  verified: z.boolean(),
  bytes: z.number(),
  sha256: z.string(),
  /** Its final name below the output. */
  output: z.string(),
});

/** The picture a call brought. */
export type CallPicture = z.infer<typeof pictureSchema>;

const closedSchema = z.object({
  at: z.string(),
  ms: z.number(),
  outcome: z.enum(['succeeded', 'failed', 'throttled', 'not_sent', 'unknown']),
  charged: charge,
  error_code: errorCode.optional(),
  error_message: z.string().optional(),
  http_status: z.number().optional(),
  picture: pictureSchema.optional(),
});

export type Closed = z.infer<typeof closedSchema>;

const callNameSchema = z.object({ id: z.string(), n: z.number().int().positive() });

/**
 * One HTTP exchange: opened before its first byte, closed when its outcome is known. Or, with `paid_by`, none at all: the
 * picture of a row that asked for the same was put at this row's name. Version 1.
 */
export const callSchema = z.object({
  v: z.literal(1),
  run: z.string(),
  id: z.string(),
  /** The row's calls are numbered from 1, over all runs into one output. */
  n: z.number().int().positive(),
  route,
  account: z.string(),
  origin: z.string(),
  owner: ownerSchema,
  started_at: z.string(),
  fingerprint: z.string(),
  prompt: z.string(),
  size: z.string(),
  ratio: z.enum(ratios),
  sources: z.array(sourceSchema),
  /** The rule under which it was sent: what to do should its outcome stay unknown. */
  on_unknown: z.enum(['retry', 'hold']),
  /** Its row's name below the output, the extension left open; earlier versions did not write it. */
  output: z.string().optional(),
  /** What was done to its pictures before they were sent, in words; absent: nothing. */
  changes: z.array(z.string()).optional(),
  /** Another row's call, which paid for the picture. */
  paid_by: callNameSchema.optional(),
  /** Other rows' calls for the same, which may have been paid: should it bring a picture, that was perhaps paid for twice. */
  after: z.array(callNameSchema).optional(),
  closed: closedSchema.optional(),
});

export type Call = z.infer<typeof callSchema>;

/** Names a row's folder of records, whatever characters its id has. */
export function keyOf(id: string): string {
  return hash('sha256', id).slice(0, 40);
}

/** Names a call over all of an output, for its slot, its credit and its spool file. */
export function callId(call: Pick<Call, 'id' | 'n'>): string {
  return `${keyOf(call.id)}-${call.n}`;
}

/** No call was made: another row's paid for the picture. */
export function isCopy(call: Call): boolean {
  return call.paid_by !== undefined;
}

/** An open call whose process is dead may have been paid for: its charge is unknown. */
export function chargeOf(call: Call): Charge {
  return call.closed?.charged ?? 'unknown';
}

export function mayBePaid(call: Call): boolean {
  return chargeOf(call) !== 'no';
}

/** The code of a call that brought no picture; an open one is read as that of a dead process. */
export function codeOf(call: Call): ErrorCode | undefined {
  if (!call.closed) return 'worker_lost';
  return call.closed.picture ? undefined : (call.closed.error_code ?? 'bug');
}

/** Did it use up one of `--max-attempts`? */
export function isAttempt(call: Call): boolean {
  if (isCopy(call)) return false;
  const code = codeOf(call);
  return code === undefined || costsAttempt(code);
}
