// @ts-check
import { translated } from './data.js';
import { button, element, foreign } from './dom.js';
import { frame } from './picture.js';
import { visible } from './text.js';
import { words } from './words.js';

/** @import { Row, Status } from './data.js' */

/** Screens of cards that are kept above and below the one that is seen. */
const spare = 1;

/**
 * The contact sheet: a card a row. Only cards near the screen exist, or 12,000 of them would be slow to make, to lay out
 * and to remove; they are all of one height, so that the place of each is known.
 * @param {(place: number) => void} onOpen asked to show the row at this place among those shown
 */
export function createSheet(onOpen) {
  const list = element('ol', 'sheet');
  /** @type {Row[]} */
  let shown = [];
  /** The cards that exist, by their place. @type {Map<number, HTMLLIElement>} */
  const cards = new Map();
  /** The card that Tab comes to; arrow keys move it. */
  let current = 0;
  let columns = 1;
  /** From one line of cards to the next, in pixels; 0 until one was measured. */
  let pitch = 0;
  let width = 0;

  const measure = () => {
    const [card] = cards.values();
    if (!card) return;
    const style = getComputedStyle(list);
    columns = style.gridTemplateColumns.split(' ').length;
    pitch = card.getBoundingClientRect().height + Number.parseFloat(style.rowGap);
  };

  /** Makes the cards that are near the screen and removes the others. */
  const draw = () => {
    if (shown.length > 0 && cards.size === 0) put(current, 1);
    if (pitch === 0) measure();
    const lines = Math.ceil(shown.length / columns);
    const top = -list.getBoundingClientRect().top;
    const first = between(0, Math.floor((top - spare * innerHeight) / pitch), lines);
    const last = between(first, Math.ceil((top + (1 + spare) * innerHeight) / pitch), lines);
    put(first * columns, (last - first) * columns);
    // Tab finds a card on the screen, wherever the reader has scrolled.
    if (shown.length > 0 && !cards.has(current))
      take(between(first, Math.ceil(top / pitch), last - 1) * columns);
    list.style.paddingTop = `${first * pitch}px`;
    list.style.paddingBottom = `${(lines - last) * pitch}px`;
  };

  /** @param {number} from @param {number} count */
  const put = (from, count) => {
    const end = Math.min(shown.length, from + count);
    for (const [place, card] of cards) {
      if (place >= from && place < end) continue;
      card.remove();
      cards.delete(place);
    }
    for (let place = end - 1, next = null; place >= from; place--) {
      const row = shown[place];
      const card = cards.get(place) ?? (row && cardOf(row, place));
      if (!card) continue;
      if (!cards.has(place)) list.insertBefore(card, next);
      cards.set(place, card);
      next = card;
    }
  };

  /** @param {Row} row @param {number} place */
  const cardOf = (row, place) => {
    const { result, more } = row;
    const open = button('', () => onOpen(place), 'open');
    open.append(foreign(visible(result.id)));
    open.tabIndex = place === current ? 0 : -1;
    open.addEventListener('focus', () => take(place));
    const says = element('div', 'says');
    if (result.error_message) says.append(message(row));
    says.append(element('p', 'prompt', foreign(visible(more.prompt))));
    const text = element('div', 'text', element('div', 'line', open, badge(result.status)), says);
    const pair = element('div', 'pair', frame(row, 'before'), frame(row, 'after'));
    const card = element('li', 'card', pair, text);
    card.ariaPosInSet = String(place + 1);
    card.ariaSetSize = String(shown.length);
    return card;
  };

  /** @param {number} place */
  const opener = (place) => cards.get(place)?.querySelector('button');

  /** @param {number} place */
  const take = (place) => {
    const [was, now] = [opener(current), opener(place)];
    if (was) was.tabIndex = -1;
    if (now) now.tabIndex = 0;
    current = place;
  };

  /** @param {number} place */
  const focus = (place) => {
    if (place < 0 || place >= shown.length) return;
    const top = list.getBoundingClientRect().top + Math.floor(place / columns) * pitch;
    const bar = document.querySelector('.filters')?.getBoundingClientRect().bottom ?? 0;
    if (top < bar) scrollBy({ top: top - bar - 16 });
    else if (top + pitch > innerHeight) scrollBy({ top: top + pitch - innerHeight });
    draw();
    take(place);
    opener(place)?.focus({ preventScroll: true });
  };

  const again = () => {
    pitch = 0;
    draw();
  };

  list.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    const step = /** @type {Record<string, number>} */ (steps)[event.key];
    if (step === undefined) return;
    event.preventDefault();
    focus(current + step);
  });
  addEventListener('scroll', () => requestAnimationFrame(draw), { passive: true });
  new ResizeObserver(() => {
    if (list.clientWidth === width) return;
    width = list.clientWidth;
    again();
  }).observe(list);

  return {
    element: list,
    focus,
    /** Lays the cards out anew, where their size has changed. */
    again,
    /** @param {Row[]} rows */
    show(rows) {
      shown = rows;
      current = 0;
      list.replaceChildren();
      cards.clear();
      const above = document.querySelector('.filters')?.getBoundingClientRect().bottom ?? 0;
      list.style.paddingTop = '0';
      // Who filters far down wants to see the first row that fits.
      const hidden = above - list.getBoundingClientRect().top;
      if (hidden > 0) scrollBy({ top: -hidden - 16 });
      draw();
    },
  };
}

/** @param {number} least @param {number} value @param {number} most */
const between = (least, value, most) => Math.max(least, Math.min(value, most));

/** @param {Status} status */
export function badge(status) {
  const made = element('span', `badge is-${status}`, words.status[status]);
  made.title = words.statusHint[status];
  return made;
}

/** A row's error, or the note on a picture that isn't quite as asked. @param {Row} row */
export function message({ result, more }) {
  const isNote = result.status === 'succeeded' || result.status === 'skipped';
  const text = isLeftOut(result, more) ? words.notChosen : translated(result.error_message ?? '');
  return element('p', isNote ? 'message note' : 'message', foreign(visible(text)));
}

/** @param {Row['result']} result @param {Row['more']} more */
const isLeftOut = (result, more) => result.status === 'not_attempted' && !more.chosen;
