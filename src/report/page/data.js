// @ts-check
import { words } from './words.js';

/** @typedef {'succeeded' | 'skipped' | 'failed' | 'held' | 'cancelled' | 'not_attempted' | 'invalid'} Status */
/** @typedef {string | number | null} Value */

/**
 * @typedef {object} Result Fields of results.csv
 * @property {string} id
 * @property {number} row
 * @property {Status} status
 * @property {string | null} output
 * @property {string | null} error_code
 * @property {string | null} error_message
 * @property {number | null} http_status
 * @property {number} attempts
 * @property {number | null} route
 * @property {string | null} account
 * @property {string} charged
 * @property {number} credits
 * @property {number} credits_unknown
 * @property {string | null} mime
 * @property {number | null} width
 * @property {number | null} height
 * @property {number | null} bytes
 * @property {string | null} sha256
 * @property {number | null} api_ms
 * @property {string | null} started_at
 * @property {string | null} finished_at
 */

/**
 * @typedef {object} Call
 * @property {number} n
 * @property {string} at
 * @property {string} run
 * @property {number} route
 * @property {string} account
 * @property {number | null} ms
 * @property {number | null} http
 * @property {'succeeded' | 'failed' | 'throttled' | 'not_sent' | 'unknown' | 'open'} outcome
 * @property {string} charged
 * @property {string | null} error
 */

/**
 * @typedef {object} RowBlock A row as the file holds it: values by their place
 * @property {Value[]} result
 * @property {Value[]} own
 * @property {string} prompt
 * @property {string} size
 * @property {string} ratio
 * @property {boolean} chosen False: left out by --limit or --ids
 * @property {{path?: string, url?: string}[]} pictures
 * @property {Value[][]} calls
 * @property {string | null} before
 * @property {string | null} after
 */

/**
 * @typedef {object} Row
 * @property {Result} result
 * @property {RowBlock} more
 * @property {() => string} text All that the text filter looks at, in lower case
 */

/**
 * @typedef {object} Stopping
 * @property {'cap' | 'budget' | 'day' | 'accounts' | 'failures' | 'alike' | 'unusable' | 'other'} kind
 * @property {string[]} values The numbers or error codes of the reason; of `other` the whole reason
 * @property {string} says The same in English
 */

/**
 * @typedef {object} Head
 * @property {string[]} columns
 * @property {string[]} fields
 * @property {number} othersLeft Rows that were not chosen and are not done, the invalid ones aside
 * @property {number} left Rows that the page doesn't hold, since there are too many
 * @property {Stopping} [stop] Why the run stopped
 * @property {Record<string, string>} meanings What the error codes mean, in English
 * @property {{
 *   run: string, manifest: string, started_at: string, finished_at: string, rows: Record<Status, number>,
 *   chosen: Record<Status, number>, calls: number, credits: {charged: number, unknown: number},
 *   credits_all_runs: {charged: number, unknown: number}, perhaps_twice: number, by_error: Record<string, number>,
 *   latency_ms: {p50: number | null, p95: number | null, max: number | null}, exit_code: number
 * }} summary
 */

/** @param {string} name @returns {any[]} */
function blocksOf(name) {
  const found = document.querySelectorAll(`script[data-block="${name}"]`);
  return [...found].map((block) => {
    const content = JSON.parse(block.textContent ?? '');
    block.remove();
    return content;
  });
}

/** @type {Head} */
export const head = blocksOf('head')[0];

/** @type {Row[]} */
export const rows = blocksOf('rows').flat().map(rowOf);

/** @param {RowBlock} more @returns {Row} */
function rowOf(more) {
  const fields = head.fields.map((field, i) => [field, more.result[i]]);
  const result = /** @type {Result} */ (Object.fromEntries(fields));
  /** @type {string | undefined} */
  let text;
  return { result, more, text: () => (text ??= textOf(result, more)) };
}

/** @param {Result} result @param {RowBlock} more */
function textOf({ id, output, error_code: code, error_message: message }, { prompt, pictures, own }) {
  const addresses = pictures.map(({ path, url }) => path ?? url);
  return [id, prompt, output, code, message, ...addresses, ...own].join('\n').toLowerCase();
}

/** @param {Row} row @returns {Call[]} */
export function callsOf(row) {
  const names = ['n', 'at', 'run', 'route', 'account', 'ms', 'http', 'outcome', 'charged', 'error'];
  return row.more.calls.map((values) => {
    const call = Object.fromEntries(names.map((name, i) => [name, values[i]]));
    return /** @type {Call} */ (/** @type {unknown} */ (call));
  });
}

/** What an error code means, in the reader's language where it is known. @param {string} code */
export const meaningOf = (code) => words.meanings[code] ?? head.meanings[code];

/** An error's message with the part of it that is the program's own in the reader's language. @param {string} text */
export function translated(text) {
  const code = /^\w+(?=: )/.exec(text)?.[0] ?? '';
  const own = `${code}: ${head.meanings[code]}`;
  return text.startsWith(own) ? `${code}: ${meaningOf(code)}${text.slice(own.length)}` : text;
}
