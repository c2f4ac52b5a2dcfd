import { rename, rm } from 'node:fs/promises';
import type { Answer, Client } from '../api/client.ts';
import type { Secret } from '../config.ts';
import { codes, EditError, exitCodes, SurroundingsError, toError } from '../errors.ts';
import type { Verifier } from '../image/verify.ts';
import type { Log } from '../log.ts';
import type { PictureFacts, Row } from '../model.ts';
import { callId, type Call, type Closed } from '../records/call.ts';
import type { Ledger } from '../throttle/ledger.ts';
import type { Slot, Throttle } from '../throttle/throttle.ts';
import type { Input } from './input.ts';
import { exists, outputName, spooledFacts, spoolFiles } from './keep.ts';
import type { Output } from './output.ts';
import type { Step } from './steps.ts';

export interface CallerOptions {
  keys: Map<string, Secret>;
  client: Client;
  verifier: Verifier;
  throttle: Throttle;
  ledger: Ledger;
  /** Told of every call that ended, with its milliseconds; undefined: the API was not reached. */
  onCall: (ms: number | undefined) => void;
  /** Told of each step when it is done. */
  onStep?: ((step: Step) => void) | undefined;
  log: Log;
}

/** What one call needs beside its record, which is open. */
interface Order {
  output: Output;
  row: Row;
  call: Call;
  /** Asked before it is sent: has nobody done it meanwhile? */
  isDue: () => Promise<boolean>;
  slot: Slot;
  input: Input;
  timeoutMs: number;
  /** Aborted: don't send what is not yet sent. What is sent is awaited. */
  signal: AbortSignal;
}

export interface Caller {
  /**
   * Makes one HTTP call and books it, whatever comes of it: steps 5 to 8.
   * @returns its closed record
   * @throws SurroundingsError when the disk or the decoder fails; the record stays open, so its charge is unknown
   */
  make(order: Order): Promise<Call>;
  /**
   * Closes the call of a dead process whose whole answer is in the spool: paid for, so it is finished without another.
   * Any number of processes may do so at the same time.
   * @param row says the picture's name
   * @returns its record as it is now; still open: no whole answer was left
   */
  adopt(output: Output, row: Pick<Row, 'output'>, call: Call): Promise<Call>;
  /** Calls that may have left and are not yet on record as ended. */
  inFlight(): number;
}

const takenAway = 'the row was taken away before it was sent';
/** Charged but unusable answers in a row that stop a run. */
const mostUnusable = 5;

export function createCaller(options: CallerOptions): Caller {
  const { throttle, ledger, log } = options;
  const step = (name: Step): void => options.onStep?.(name);
  const sending = new Set<Call>();

  const make = async (order: Order): Promise<Call> => {
    const { closed, error } = await sendAndClose(order).finally(() => sending.delete(order.call));
    if (error) await tellThrottle(order, error);
    await settle(order, closed);
    return closed;
  };

  /** Nothing here waits for Redis once the call is under way. */
  const sendAndClose = async (order: Order): Promise<{ closed: Call; error?: EditError }> => {
    const { output, row, call } = order;
    const started = performance.now();
    try {
      const answer = await send(order);
      const { part, bin } = spoolFiles(output.storage, call);
      await rename(part, bin).catch((error: unknown) => {
        throw new SurroundingsError(`${bin}: ${toError(error).message}`, { cause: error });
      });
      step('spooled');
      options.onCall(answer.ms);
      return { closed: await closeAnswered(output, row, call, bin, answer) };
    } catch (error) {
      if (!(error instanceof EditError)) throw error;
      const ms = Math.round(performance.now() - started);
      options.onCall(error.disposition === 'retry-same' ? undefined : ms);
      const closed = await output.calls.close(call, failure(error, ms));
      log.warn({ id: call.id, n: call.n, route: call.route, error: error.message }, 'call failed');
      return { closed, error };
    }
  };

  const unstamped = (error: unknown): void => log.warn({ error: String(error) }, 'stamp failed');

  const send = async ({ output, call, isDue, slot, input, timeoutMs, signal }: Order): Promise<Answer> => {
    try {
      // Nothing has left yet, whatever goes wrong here.
      const unsent = (error: unknown): never => {
        const why = signal.aborted ? takenAway : toError(error).message;
        throw new EditError('not_sent', why, { cause: error });
      };
      if (!(await throttle.holds(slot, signal).catch(unsent)))
        throw new EditError('not_sent', 'its credit was lost with the data of Redis');
      if (!(await isDue().catch(unsent)))
        throw new EditError('not_sent', 'another process is at it, or has done it');
      sending.add(call);
      return await options.client.edit({
        key: options.keys.get(call.account)?.reveal() ?? '',
        prompt: call.prompt,
        size: call.size,
        ratio: call.ratio,
        route: call.route,
        pictures: input.pictures,
        part: spoolFiles(output.storage, call).part,
        timeoutMs,
        beforeSend() {
          if (signal.aborted) throw new Error(takenAway);
          if (!throttle.isFresh(slot)) throw new Error('the slot grew too old while the connection was made');
        },
        onBegin() {
          step('sent');
          throttle.stamp(slot).catch(unstamped);
        },
        async beforeEnd() {
          input.release();
          await throttle.end(slot).catch(unstamped);
        },
      });
    } finally {
      input.release();
    }
  };

  /** Verifies an answer and closes its record; useless bytes are kept apart, since they are paid for. */
  const closeAnswered = async (
    output: Output,
    row: Pick<Row, 'output'>,
    call: Call,
    bin: string,
    { sha256, bytes, ms }: Pick<Answer, 'sha256' | 'bytes' | 'ms'>,
  ): Promise<Call> => {
    const { storage } = output;
    let facts: PictureFacts;
    try {
      facts = await options.verifier.verify(bin);
    } catch (error) {
      if (!(error instanceof EditError)) throw error;
      const closed = await output.calls.close(call, { ...failure(error, ms), http_status: 200 });
      // Another process has decoded it.
      if (closed.closed?.picture) return closed;
      await storage.keep(bin, `.reshoot/rejected/${callId(call)}.bin`, sha256);
      await rm(bin, { force: true });
      log.warn(
        { id: call.id, n: call.n, error: error.message },
        'a paid answer is no picture; its bytes are kept',
      );
      return closed;
    }
    step('verified');
    const picture = { ...facts, bytes, sha256, output: outputName(row, facts.ext) };
    return output.calls.close(call, {
      at: new Date().toISOString(),
      ms,
      outcome: 'succeeded',
      charged: 'yes',
      http_status: 200,
      picture,
    });
  };

  const tellThrottle = async ({ call, slot }: Order, error: EditError): Promise<void> => {
    if (error.code === 'rate_limited') await throttle.refused(slot, error.retryAfterMs);
    if (error.code === 'firewall') await throttle.park(slot.account, error.code, 3);
    if (error.disposition === 'account') await throttle.park(slot.account, error.code, 1);
    if (error.disposition === 'halt') await ledger.stop(call.run, exitCodes.halted, error.message);
  };

  /** Books a closed call: its credit, and whether the account is served. */
  const settle = async ({ slot }: Order, { run, closed }: Call): Promise<void> => {
    const code = closed?.error_code;
    const refused = code && ['throttle', 'account'].includes(codes[code].disposition);
    const settlement = {
      charged: closed?.charged ?? 'unknown',
      unusable: closed?.picture ? false : closed?.charged === 'yes' ? true : undefined,
      answered: closed?.http_status !== undefined && !refused,
      sent: code !== 'not_sent',
    };
    const inARow = await throttle.settle(slot, settlement);
    if (settlement.unusable && inARow >= mostUnusable) {
      await ledger.stop(run, exitCodes.halted, `${inARow} answers in a row were charged and no pictures`);
    }
  };

  const adopt: Caller['adopt'] = async (output, row, call) => {
    const { bin } = spoolFiles(output.storage, call);
    // An answer leaves the spool only when its record is closed: where it is gone, the record says so.
    const asItIs = async (): Promise<Call> =>
      (await output.calls.story(call.id)).find(({ n }) => n === call.n) ?? call;
    if (!(await exists(bin))) return asItIs();
    log.info({ id: call.id, n: call.n }, 'finishing an answer that another process left');
    const ms = Math.max(0, Date.now() - Date.parse(call.started_at));
    try {
      return await closeAnswered(output, row, call, bin, { ...(await spooledFacts(bin)), ms });
    } catch (error) {
      const now = await asItIs();
      if (now.closed) return now;
      throw error;
    }
  };

  return { make, adopt, inFlight: () => sending.size };
}

function failure(error: EditError, ms: number): Closed {
  return {
    at: new Date().toISOString(),
    ms,
    outcome: outcomeOf(error),
    charged: error.charged,
    error_code: error.code,
    error_message: error.message,
    ...(error.status !== undefined && { http_status: error.status }),
  };
}

function outcomeOf({ disposition, charged }: EditError): Closed['outcome'] {
  if (disposition === 'throttle') return 'throttled';
  if (disposition === 'retry-same') return 'not_sent';
  return charged === 'unknown' ? 'unknown' : 'failed';
}
