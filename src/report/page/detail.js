// @ts-check
import { callsOf, head, meaningOf } from './data.js';
import { button, element, foreign, link } from './dom.js';
import { frame, fullAddress } from './picture.js';
import { badge, message } from './sheet.js';
import { charge, number, seconds, time, visible } from './text.js';
import { words } from './words.js';

/** @import { Row } from './data.js' */

/**
 * A row's whole story, over the page.
 * @param {(place: number) => void} onClose told which row was shown last
 */
export function createDetail(onClose) {
  /** @type {Row[]} */
  let rows = [];
  let place = 0;
  const count = element('span', 'count');
  const title = element('h2');
  title.id = 'detail-title';
  const body = element('div', 'body');
  body.tabIndex = -1;
  const previous = button('‹', () => go(-1), 'step');
  const next = button('›', () => go(1), 'step');
  const close = button('×', () => dialog.close(), 'step close');
  for (const [one, label] of /** @type {const} */ ([
    [previous, words.previous],
    [next, words.next],
    [close, words.close],
  ])) {
    one.ariaLabel = label;
    one.title = label;
  }
  const bar = element('div', 'bar', previous, next, count, title, close);
  const dialog = element('dialog', 'detail', bar, body);
  dialog.setAttribute('aria-labelledby', title.id);

  const draw = () => {
    const row = rows[place];
    if (!row) return;
    count.textContent = `${number(place + 1)} ${words.of} ${number(rows.length)}`;
    title.replaceChildren(foreign(visible(row.result.id)), badge(row.result.status));
    previous.disabled = place === 0;
    next.disabled = place === rows.length - 1;
    body.replaceChildren(...story(row));
    body.scrollTop = 0;
  };
  /** @param {number} step */
  const go = (step) => {
    place = Math.min(rows.length - 1, Math.max(0, place + step));
    draw();
  };

  dialog.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === 'ArrowRight') go(1);
    else if (event.key === 'ArrowLeft') go(-1);
    else return;
    event.preventDefault();
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener('close', () => onClose(place));

  return {
    element: dialog,
    /** @param {Row[]} shown @param {number} at */
    open(shown, at) {
      rows = shown;
      place = at;
      draw();
      dialog.showModal();
      body.focus();
    },
  };
}

/** @param {Row} row */
function story(row) {
  const { result, more } = row;
  /** @type {HTMLElement[]} */
  const parts = [element('div', 'views', view(row, 'before'), view(row, 'after'))];
  if (result.error_message) parts.push(element('div', '', message(row)));
  const asked = section(words.prompt, element('p', 'long', foreign(visible(more.prompt))));
  const own = ownFields(row);
  parts.push(
    element(
      'div',
      'halves',
      element('div', '', asked, sources(row), ...own),
      section(words.result, fields(row)),
    ),
    section(words.callsOf, calls(row)),
    element('p', 'keys', words.keys),
  );
  return parts;
}

/** @param {string} heading @param {Node} content */
const section = (heading, content) => element('section', '', element('h3', '', heading), content);

/** @param {Row} row @param {import('./picture.js').Side} side */
function view(row, side) {
  const shown = frame(row, side);
  const full = side === 'after' ? fullAddress(row) : undefined;
  if (full !== undefined) sharpen(shown, full);
  const caption = element('figcaption', '', side === 'before' ? words.before : words.after);
  if (full !== undefined) {
    const open = link(full, words.openFull);
    open.target = '_blank';
    caption.append(open);
  }
  return element('figure', '', shown, caption);
}

/** Puts the full picture in the thumbnail's place once it is there. @param {HTMLElement} shown @param {string} full */
function sharpen(shown, full) {
  const image = shown.querySelector('img');
  if (!image) return;
  const whole = new Image();
  whole.addEventListener('load', () => (image.src = full), { once: true });
  whole.src = full;
}

/** @param {Row} row */
function sources({ more }) {
  const lines = more.pictures.map(({ path, url }) =>
    element('p', 'long path', foreign(visible(path ?? url ?? ''))),
  );
  return section(words.sources, element('div', '', ...lines));
}

/** @param {Row} row */
function ownFields({ more }) {
  const filled = head.columns.map((name, i) => ({ name, value: more.own[i] }));
  const cells = filled.filter(({ value }) => value !== null && value !== undefined && value !== '');
  return cells.length === 0
    ? []
    : [section(words.columns, list(cells.map(({ name, value }) => [name, String(value)])))];
}

/** @param {Row} row */
function fields({ result, more }) {
  const names = words.field;
  const { width, height } = result;
  /** @type {[string, string | number | null][]} */
  const all = [
    [names.size, `${more.size} · ${more.ratio}`],
    [names.output, result.output],
    [names.type, result.mime],
    [names.dimensions, width && height ? `${width} × ${height}` : null],
    [names.bytes, result.bytes === null ? null : number(result.bytes)],
    [names.error_code, result.error_code && withMeaning(result.error_code)],
    [names.http_status, result.http_status],
    [names.attempts, result.attempts],
    [names.charged, charge(result.charged)],
    [names.credits, result.credits],
    [names.credits_unknown, result.credits_unknown],
    [names.route, result.route],
    [names.account, result.account],
    [names.api_ms, result.api_ms === null ? null : seconds(result.api_ms)],
    [names.started_at, result.started_at && `${time(result.started_at)} UTC`],
    [names.finished_at, result.finished_at && `${time(result.finished_at)} UTC`],
    [names.sha256, result.sha256],
  ];
  return list(
    all.flatMap(([name, value]) => (value === null || value === '' ? [] : [[name, String(value)]])),
  );
}

/** @param {string} code */
function withMeaning(code) {
  const meaning = meaningOf(code);
  return meaning ? `${code}: ${meaning}` : code;
}

/** @param {string[][]} pairs */
function list(pairs) {
  const terms = pairs.map(([name = '', value = '']) =>
    element('div', '', element('dt', '', foreign(visible(name))), element('dd', '', foreign(visible(value)))),
  );
  return element('dl', 'fields', ...terms);
}

/** @param {Row} row */
function calls(row) {
  const made = callsOf(row);
  if (made.length === 0) return element('p', 'quiet', words.noCalls);
  const names = words.call;
  const titles = [
    names.n,
    names.time,
    names.route,
    names.account,
    names.ms,
    names.http,
    names.outcome,
    names.charged,
    names.error,
    names.run,
  ];
  const top = element('tr', '', ...titles.map((title) => element('th', '', title)));
  const lines = made.map((call) =>
    element(
      'tr',
      '',
      ...[
        String(call.n),
        time(call.at),
        String(call.route),
        call.account,
        seconds(call.ms),
        String(call.http ?? '–'),
        words.outcomes[call.outcome],
        charge(call.charged),
        call.error ?? '–',
        call.run,
      ].map((cell) => element('td', '', foreign(visible(cell)))),
    ),
  );
  const table = element('table', '', element('thead', '', top), element('tbody', '', ...lines));
  const wide = element('div', 'wide', table);
  wide.tabIndex = 0;
  wide.role = 'region';
  wide.ariaLabel = words.callsOf;
  return wide;
}
