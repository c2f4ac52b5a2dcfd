// @ts-check
import { head, meaningOf, translated } from './data.js';
import { button, element, foreign, link } from './dom.js';
import { duration, number, seconds, shellWord, time, visible } from './text.js';
import { words } from './words.js';

const { summary } = head;
const total = Object.values(summary.rows).reduce((sum, count) => sum + count, 0);

/**
 * What stands above the rows.
 * @param {(code: string) => void} onError asked to show the rows with this error
 */
export function header(onError) {
  const name = summary.manifest.split('/').at(-1) || summary.manifest;
  const manifest = element('h1', '', foreign(visible(name)));
  manifest.title = visible(summary.manifest);
  const ran = element('p', 'ran', `${words.run} `, foreign(summary.run), ` · ${span()}`);
  const top = element(
    'div',
    'top',
    element('div', 'name', element('p', 'brand', 'reshoot'), manifest, ran),
    files(),
  );
  return element('header', 'head', top, figures(), ending(), ...errors(onError));
}

function span() {
  const [start, end] = [time(summary.started_at), time(summary.finished_at)];
  return `${start} – ${start.slice(0, 10) === end.slice(0, 10) ? end.slice(11) : end} UTC`;
}

function files() {
  const names = ['results.csv', 'failed.csv', 'calls.csv', 'runs.csv'];
  const list = element('nav', 'files', ...names.map((name) => link(name, name)));
  list.ariaLabel = words.files;
  return list;
}

function figures() {
  const {
    credits,
    credits_all_runs: all,
    perhaps_twice: twice,
    latency_ms: latency,
    started_at: start,
    finished_at: end,
  } = summary;
  const spent = figure(words.credits, number(credits.charged), words.thisRun);
  if (credits.unknown > 0) spent.append(element('dd', 'note warns', words.perhaps(number(credits.unknown))));
  const unknown = all.unknown > 0 ? number(all.unknown) : undefined;
  spent.append(element('dd', 'note', words.allRuns(number(all.charged), unknown)));
  if (twice > 0) spent.append(element('dd', 'note warns', words.perhapsTwice(number(twice))));
  return element(
    'dl',
    'figures',
    figure(words.rows, number(total)),
    spent,
    figure(words.calls, number(summary.calls), words.thisRun),
    figure(words.duration, duration(Date.parse(end) - Date.parse(start))),
    figure(
      words.callTime,
      seconds(latency.p50),
      `${words.median} · ${words.longest} ${seconds(latency.max)}`,
    ),
  );
}

/** @param {string} label @param {string} value @param {string} [note] */
function figure(label, value, note) {
  const made = element('div', '', element('dt', '', label), element('dd', 'value', value));
  if (note) made.append(element('dd', 'note', note));
  return made;
}

/** How the run ended, in words, and the command that goes on. */
function ending() {
  const code = summary.exit_code;
  const says = element('p', 'says', foreign(visible(endingText())));
  const made = element('section', code === 0 ? 'ending good' : 'ending', says);
  for (const [why, command] of nextSteps()) made.append(element('p', '', why), commandLine(command));
  made.append(element('p', 'code', `${words.exit} ${code}`));
  return made;
}

function endingText() {
  const { rows, chosen, exit_code: code } = summary;
  if (head.stop) return words.stopped(head.stop, meaningOf, translated);
  if (code === 0 && head.othersLeft > 0) {
    const undone = total - rows.succeeded - rows.skipped;
    return words.chosenDone(chosen.succeeded + chosen.skipped, undone);
  }
  if (code === 0 && rows.invalid > 0) return words.validDone;
  return /** @type {Record<number, string>} */ (words.ending)[code] ?? '';
}

/** @returns {[string, string][]} */
function nextSteps() {
  const { rows, chosen, exit_code: code } = summary;
  const left = head.othersLeft;
  const open = [5, 7, 8, 13, 14, 130, 143].includes(code) || chosen.cancelled + chosen.not_attempted > 0;
  const out = outputFolder();
  const rest = `reshoot run ${shellWord(`${out}/report/failed.csv`)} -o ${shellWord(out)}`;
  /** @type {[string, string][]} */
  const steps = [];
  if (open) steps.push([left > 0 ? words.goOnOthers(left) : words.goOn, rest]);
  if (!open && left > 0) steps.push([words.goOnRest, rest]);
  if (rows.held > 0) steps.push([words.goOnHeld, `reshoot retry ${shellWord(out)} --status held`]);
  if (!open && chosen.failed + rows.invalid > 0) steps.push([words.mend(left), rest]);
  return steps;
}

/** Opened from disk, the page knows where it lies. */
function outputFolder() {
  if (location.protocol !== 'file:') return 'OUT';
  try {
    return decodeURIComponent(location.pathname).replace(/\/report\/[^/]*$/, '') || '/';
  } catch {
    return 'OUT';
  }
}

/** @param {string} command */
function commandLine(command) {
  const code = element('code', '', visible(command));
  const copy = button(words.copy, () => {
    getSelection()?.selectAllChildren(code);
    void navigator.clipboard?.writeText(command).then(() => (copy.textContent = words.copied));
  });
  return element('div', 'command', code, copy);
}

/** @param {(code: string) => void} onError */
function errors(onError) {
  const found = Object.entries(summary.by_error).sort(([, a], [, b]) => b - a);
  if (found.length === 0) return [];
  const chips = found.map(([code, count]) => {
    const chip = button(code, () => onError(code), 'chip');
    chip.append(' ', element('span', 'count', number(count)));
    return element('li', '', chip, element('span', 'meaning', meaningOf(code) ?? ''));
  });
  return [element('div', 'errors', element('span', 'label', words.errors), element('ul', '', ...chips))];
}
