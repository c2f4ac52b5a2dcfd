// @ts-check

/**
 * An element. Text of others comes in as children only, which become text nodes.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {string} [names] classes
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function element(tag, names = '', ...children) {
  const made = document.createElement(tag);
  if (names) made.className = names;
  made.append(...children);
  return made;
}

/** Text of others: its direction is its own and turns nothing beside it. @param {string} text @param {string} [names] */
export function foreign(text, names) {
  return element('bdi', names, text);
}

/** @param {string} label @param {() => void} act @param {string} [names] */
export function button(label, act, names) {
  const made = element('button', names, label);
  made.type = 'button';
  made.addEventListener('click', act);
  return made;
}

/** @param {string} address @param {string} text */
export function link(address, text) {
  const made = element('a', '', text);
  made.href = address;
  made.rel = 'noopener noreferrer';
  return made;
}
