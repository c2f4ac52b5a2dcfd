// @ts-check
import { element, foreign } from './dom.js';
import { addressOf } from './text.js';
import { words } from './words.js';

/** @import { Row } from './data.js' */
/** @typedef {'before' | 'after'} Side */

/** Names that a browser shows as a picture and never as a page. */
const pictureName = /\.(jpe?g|png|webp|gif|avif|tiff?|bmp|heic|heif|jxl)$/i;

/** The full picture's address, where it may be opened. @param {Row} row */
export function fullAddress({ result }) {
  return result.output && result.sha256 && pictureName.test(result.output)
    ? addressOf(result.output)
    : undefined;
}

/**
 * One side of a row: its thumbnail, or in its place what there is to say.
 * @param {Row} row
 * @param {Side} side
 */
export function frame(row, side) {
  const address = row.more[side];
  if (address === null) return element('div', `frame ${side} empty`, placeholder(row, side));
  const made = element('div', `frame ${side}`);
  made.append(
    image(address, altOf(row, side), () => {
      made.classList.add('empty');
      made.replaceChildren(placeholder(row, side));
    }),
  );
  return made;
}

/** @param {Row} row @param {Side} side */
export const altOf = ({ result }, side) =>
  `${side === 'before' ? words.beforeOf : words.afterOf}${result.id}`;

/** @param {string} address @param {string} alt @param {() => void} onMissing */
function image(address, alt, onMissing) {
  const made = element('img');
  made.loading = 'lazy';
  made.decoding = 'async';
  made.alt = alt;
  made.draggable = false;
  made.addEventListener('error', onMissing, { once: true });
  made.src = address;
  return made;
}

/** @param {Row} row @param {Side} side */
function placeholder({ result, more }, side) {
  if (side === 'after') {
    if (!result.sha256) return element('span', '', words.noPicture);
    return element('span', '', element('b', '', typeOf(result.mime ?? '')), words.noPreview);
  }
  const [first] = more.pictures;
  if (!first) return element('span', '', words.noPicture);
  if (first.url !== undefined) return element('span', '', element('b', '', 'URL'), words.address);
  const type = /\.(\w{1,5})$/.exec(first.path ?? '')?.[1] ?? '';
  return element('span', '', element('b', '', foreign(type.toUpperCase())), words.noPreview);
}

/** @param {string} mime */
const typeOf = (mime) => mime.replace('image/', '').toUpperCase();
