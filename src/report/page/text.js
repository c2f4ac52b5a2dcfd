// @ts-check
import { language, words } from './words.js';

const numbers = new Intl.NumberFormat(language);
const tenths = new Intl.NumberFormat(language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });

/** @param {number} value */
export const number = (value) => numbers.format(value);

/** @param {number | null} ms A call's length */
export const seconds = (ms) => (ms === null ? '–' : `${tenths.format(ms / 1000)} ${words.second}`);

/** @param {number} ms A run's length, in its two largest units */
export function duration(ms) {
  const whole = Math.max(0, Math.round(ms / 1000));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  if (hours > 0) return `${number(hours)} ${words.hour} ${minutes} ${words.minute}`;
  if (minutes > 0) return `${minutes} ${words.minute} ${whole % 60} ${words.second}`;
  return `${whole} ${words.second}`;
}

/** @param {string | null} iso A time as the other files of the report have it: UTC, to the second */
export const time = (iso) => (iso === null ? '–' : iso.replace('T', ' ').replace(/(\.\d+)?Z$/, ''));

/** @param {string} charge @returns {string} */
export function charge(charge) {
  return charge === 'yes' ? words.yes : charge === 'no' ? words.no : words.unknown;
}

const unseen = /[\u0000-\u0008\u000B-\u001F\u007F-\u009F\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069\uFEFF]/g;

/** Text of others with its invisible characters visible, so that none can turn what it stands beside. @param {string} text */
export function visible(text) {
  return text
    .replaceAll('\r\n', '\n')
    .replaceAll(unseen, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A file's address below the output, from the report's folder. @param {string} output */
export function addressOf(output) {
  const whole = output.replaceAll(/\p{Surrogate}/gu, '\uFFFD');
  return `../${whole.split('/').map(encodeURIComponent).join('/')}`;
}

/** A word as a shell takes it. @param {string} text */
export function shellWord(text) {
  return /^[\p{L}\p{N}_./:@%+=-]+$/u.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
