// @ts-check
import { head, rows } from './data.js';
import { createDetail } from './detail.js';
import { button, element } from './dom.js';
import { header } from './head.js';
import { createSheet } from './sheet.js';
import { number, visible } from './text.js';
import { language, words } from './words.js';

/** @import { Row, Status } from './data.js' */

/** What is shown: rows of this outcome (all, where it is undefined) with all these words. */
/** @type {{status: Status | undefined, text: string}} */
const filter = { status: undefined, text: '' };

/** @type {Row[]} */
let shown = rows;

const detail = createDetail((place) => sheet.focus(place));
const sheet = createSheet((place) => detail.open(shown, place));

const search = element('input', 'search');
search.type = 'search';
search.placeholder = words.search;
search.ariaLabel = words.search;
search.autocomplete = 'off';
search.spellcheck = false;
search.addEventListener('input', () => choose({ text: search.value }));

const statuses = /** @type {Status[]} */ (Object.keys(words.status));
const present = statuses.filter((status) => head.summary.rows[status] > 0);
const outcomes = [undefined, ...present].map((status) => {
  const count = status ? head.summary.rows[status] : rows.length + head.left;
  const made = button(
    status ? words.status[status] : words.all,
    () => choose({ status }),
    `outcome is-${status ?? 'all'}`,
  );
  made.append(' ', element('span', 'count', number(count)));
  if (status) made.title = words.statusHint[status];
  return { status, made };
});

const views = /** @type {const} */ (['pairs', 'results']).map((view) => {
  const made = button(words[view], () => look(view));
  return { view, made };
});

const count = element('p', 'shown');
count.role = 'status';
const partly = element('p', 'partly', words.partly(number(rows.length), number(rows.length + head.left)));
partly.hidden = head.left === 0;
const nothing = element('p', 'nothing', rows.length === 0 ? words.empty : words.none);
if (rows.length > 0)
  nothing.append(
    ' ',
    button(words.clear, () => choose({ status: undefined, text: '' }), 'chip'),
  );

/** @param {Partial<typeof filter>} change */
function choose(change) {
  Object.assign(filter, change);
  if (search.value !== filter.text) search.value = filter.text;
  for (const { status, made } of outcomes) made.ariaPressed = String(status === filter.status);
  const asked = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  shown = rows.filter(
    (row) =>
      (filter.status === undefined || row.result.status === filter.status) &&
      asked.every((word) => row.text().includes(word)),
  );
  count.textContent = `${number(shown.length)} ${words.of} ${number(rows.length)}`;
  nothing.hidden = shown.length > 0;
  sheet.show(shown);
}

/** @param {'pairs' | 'results'} view */
function look(view) {
  for (const one of views) one.made.ariaPressed = String(one.view === view);
  sheet.element.classList.toggle('after-only', view === 'results');
  sheet.again();
}

/** How the rows ended, as lengths. */
function share() {
  const made = element('div', 'share');
  made.ariaHidden = 'true';
  for (const status of present) {
    const part = element('span', `is-${status}`);
    part.style.flexGrow = String(head.summary.rows[status]);
    made.append(part);
  }
  return made;
}

document.addEventListener('keydown', (event) => {
  const typing = event.target === search;
  if (event.key === 'Escape' && typing) return choose({ text: '' });
  if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector('dialog[open]')) return;
  event.preventDefault();
  search.focus();
  search.select();
});

const choice = element('div', 'outcomes', ...outcomes.map(({ made }) => made));
choice.role = 'group';
choice.ariaLabel = words.outcome;
const switcher = element('div', 'switch', ...views.map(({ made }) => made));
switcher.role = 'group';
switcher.ariaLabel = words.show;

document.documentElement.lang = language;
document.title = `${visible(head.summary.manifest)} · reshoot`;
document.querySelector('#page')?.append(
  header((code) => {
    choose({ text: code, status: undefined });
    search.focus();
  }),
  element('div', 'filters', share(), choice, element('div', 'finding', search, switcher, count)),
  partly,
  nothing,
  sheet.element,
  detail.element,
);
look('pairs');
choose({});
