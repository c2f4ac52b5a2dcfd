import type { Charge } from './model.ts';

/**
 * What the worker does about a failed call: `retry` on the other route · `retry-same` nothing was sent, free ·
 * `throttle` wait, no attempt spent · `fatal` give up this row · `account` park the account · `halt` stop the run.
 */
export type Disposition = 'retry' | 'retry-same' | 'throttle' | 'fatal' | 'account' | 'halt';

interface CodeEntry {
  disposition: Disposition;
  /** Was the call charged, as far as anybody outside the API can know? */
  charged: Charge;
  /** What it means and what to do, for the README's table and for reports. */
  says: string;
}

/** Every way in which a row or a call can fail: the one table, which README repeats. */
export const codes = {
  // Nothing was sent.
  dns_failed: {
    disposition: 'retry-same',
    charged: 'no',
    says: "the API's host name was not found: check the network and SPIDERHUBS_BASE_URL",
  },
  connect_refused: {
    disposition: 'retry-same',
    charged: 'no',
    says: "nothing listens at the API's address: check the network and SPIDERHUBS_BASE_URL",
  },
  connect_timeout: {
    disposition: 'retry-same',
    charged: 'no',
    says: "the API's address did not answer: check the network, the firewall, the proxy",
  },
  tls_failed: {
    disposition: 'retry-same',
    charged: 'no',
    says: 'no trusted connection to the API: check the clock, the proxy, the certificates',
  },
  not_sent: {
    disposition: 'retry-same',
    charged: 'no',
    says: 'the connection ended before a byte of the request was sent',
  },

  // The API refused.
  bad_request: {
    disposition: 'fatal',
    charged: 'no',
    says: 'the API calls the request wrong (400 or another 4xx): read its message, change the row',
  },
  not_found: {
    disposition: 'fatal',
    charged: 'no',
    says: 'the API does not know this address (404): check SPIDERHUBS_BASE_URL',
  },
  too_large: {
    disposition: 'fatal',
    charged: 'no',
    says: 'the API calls the request too large (413): send smaller pictures',
  },
  unprocessable: {
    disposition: 'fatal',
    charged: 'no',
    says: 'the API cannot use this picture or prompt (422): read its message, change the row',
  },
  content_refused: {
    disposition: 'retry',
    charged: 'no',
    says: 'refused by a content policy; tried once on each route: change the prompt or the picture',
  },
  rate_limited: {
    disposition: 'throttle',
    charged: 'no',
    says: 'told to wait (429): the row waits, no attempt is spent',
  },
  unauthorized: {
    disposition: 'account',
    charged: 'no',
    says: 'the API does not accept the key (401): check SPIDERHUBS_API_KEY',
  },
  forbidden: {
    disposition: 'account',
    charged: 'no',
    says: 'the API refuses the account (403): ask SpiderHubs',
  },
  firewall: {
    disposition: 'throttle',
    charged: 'no',
    says: "a 403 that is not the API's own, from a firewall or proxy: three in a row park the account",
  },
  no_credit: {
    disposition: 'account',
    charged: 'no',
    says: 'the account has no credits left (402): top it up, then run again',
  },
  redirected: {
    disposition: 'halt',
    charged: 'no',
    says: 'the API answered with a redirect, which is never followed: set SPIDERHUBS_BASE_URL to the real address',
  },

  // The API failed.
  server_error: {
    disposition: 'retry',
    charged: 'no',
    says: 'the API failed and says so itself (5xx with its own message)',
  },
  gateway_error: {
    disposition: 'retry',
    charged: 'unknown',
    says: "a 5xx or a page of HTML without the API's own message: the generation may have gone on behind the gateway",
  },
  unknown_answer: {
    disposition: 'retry',
    charged: 'unknown',
    says: 'HTTP 200 with a code or a shape that the API does not document',
  },
  reset: {
    disposition: 'retry',
    charged: 'unknown',
    says: 'the connection broke after the request was sent, before an answer',
  },
  timeout: { disposition: 'retry', charged: 'unknown', says: 'no whole answer within --timeout' },
  cut_body: { disposition: 'retry', charged: 'unknown', says: 'the answer broke off in its middle' },
  too_long_answer: {
    disposition: 'retry',
    charged: 'yes',
    says: 'the answer is larger than any picture this API makes',
  },
  worker_lost: {
    disposition: 'retry',
    charged: 'unknown',
    says: 'the process that made the call died before the answer',
  },

  // Paid for, and useless.
  empty_answer: { disposition: 'retry', charged: 'yes', says: 'HTTP 200 without a picture in it' },
  bad_base64: { disposition: 'retry', charged: 'yes', says: "the picture's base64 is cut or damaged" },
  not_a_picture: {
    disposition: 'retry',
    charged: 'yes',
    says: 'the answer decodes to bytes that are no picture',
  },
  cut_picture: {
    disposition: 'retry',
    charged: 'yes',
    says: 'the picture is cut or damaged: it does not decode to its end',
  },
  decoder_died: {
    disposition: 'retry',
    charged: 'yes',
    says: 'the picture killed the process that was to decode it',
  },

  // Before any call.
  input_missing: { disposition: 'fatal', charged: 'no', says: 'the reference picture is gone: restore it' },
  input_unreadable: {
    disposition: 'fatal',
    charged: 'no',
    says: 'the reference picture cannot be read: check its rights',
  },
  input_too_large: {
    disposition: 'fatal',
    charged: 'no',
    says: 'over 256 MB or 120 million pixels: make the picture smaller',
  },
  input_not_a_picture: {
    disposition: 'fatal',
    charged: 'no',
    says: 'the file is cut, or no picture that can be decoded',
  },
  input_unfit: {
    disposition: 'fatal',
    charged: 'no',
    says: 'would have to be changed first, which --inputs strict forbids',
  },
  output_taken: {
    disposition: 'fatal',
    charged: 'no',
    says: "a file that reshoot did not write stands at the output's name: move it away",
  },
  bug: { disposition: 'fatal', charged: 'no', says: 'a fault of reshoot: please report it with the log' },
} as const satisfies Record<string, CodeEntry>;

export type ErrorCode = keyof typeof codes;

interface EditErrorDetail {
  status?: number | undefined;
  /** Milliseconds to wait, as the server asked. */
  retryAfterMs?: number | undefined;
  /** Where the table's word does not hold, e.g. a full disk after a paid answer. */
  charged?: Charge;
  cause?: unknown;
}

/** A row's or a call's failure. Its code stands first in the message and decides what happens next. */
export class EditError extends Error {
  override readonly name = 'EditError';
  readonly code: ErrorCode;
  readonly disposition: Disposition;
  readonly charged: Charge;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: ErrorCode, message: string, detail: EditErrorDetail = {}) {
    super(`${code}: ${message}`, { cause: detail.cause });
    this.code = code;
    this.disposition = codes[code].disposition;
    this.charged = detail.charged ?? codes[code].charged;
    this.status = detail.status;
    this.retryAfterMs = detail.retryAfterMs;
  }
}

/** Does a call that ended with this code use up one of `--max-attempts`? */
export function costsAttempt(code: ErrorCode): boolean {
  const { disposition } = codes[code];
  return disposition === 'retry' || disposition === 'fatal';
}

/** Exit codes of every command, as the contract has them. */
export const exitCodes = {
  ok: 0,
  fault: 1,
  usage: 2,
  failedRetryable: 5,
  failedForGood: 6,
  account: 7,
  budget: 8,
  held: 12,
  halted: 13,
  cancelled: 14,
  sigint: 130,
  sigterm: 143,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Usage, configuration or manifest: exit 2, nothing was spent. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** The surroundings (Redis, disk, network) failed: exit 1. */
export class SurroundingsError extends Error {
  override readonly name = 'SurroundingsError';
}

/** Anything thrown, as an Error. */
export function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error(String(thrown));
}

/** The system's own code of an error (`ENOENT` …), if it has one. */
export function systemCode(thrown: unknown): string | undefined {
  return thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string'
    ? thrown.code
    : undefined;
}
