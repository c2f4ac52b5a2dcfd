import { isUtf8 } from 'node:buffer';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Node } from 'yaml';
import { printable } from '../cells.ts';
import { systemCode, toError, UsageError } from '../errors.ts';
import { fields } from '../manifest/columns.ts';
import { didYouMean } from '../manifest/nearest.ts';
import { valueFlaw } from './plan-options.ts';

const fileName = 'reshoot.yaml';
const largestFile = 64 * 1024;
/** A screen of mistakes. */
const mostShown = 20;

/** An option as the command line's library describes it. */
interface KnownOption {
  /** Its long name without dashes. */
  name(): string;
  attributeName(): string;
  /** It takes no value. */
  isBoolean(): boolean;
}

/** What is used of a command of the command line's library. */
interface ConfigurableCommand {
  readonly options: readonly KnownOption[];
  getOptionValue(attribute: string): unknown;
  getOptionValueSource(attribute: string): string | undefined;
  setOptionValueWithSource(attribute: string, value: unknown, source: string): unknown;
}

/** Options by their names, with values as the command line would give them. */
type Settings = Map<string, string | boolean | string[]>;

/** What only the file can say: as an option it would be given anew with every command. */
export const fileSettings: readonly KnownOption[] = ['maxCreditsPerDay', 'timeZone', 'creditPrice'].map(
  (name) => ({
    name: () => name,
    attributeName: () => name,
    isBoolean: () => false,
  }),
);

/** Of two that exclude each other the command line's wins. */
const rivals: Record<string, string> = { quiet: 'verbose', verbose: 'quiet' };

/**
 * Gives a command's options the values of the folder's `reshoot.yaml`, where the command line doesn't. Of `--map` it
 * keeps the fields that the command line doesn't map.
 * @param taken the options that it takes from the file
 * @param known all that the file may hold
 * @returns the names of the options that it set
 * @throws UsageError with line and column for all that is no option, or no value for it
 */
export function applyConfigFile(
  command: ConfigurableCommand,
  folder: string,
  taken: readonly KnownOption[] = command.options,
  known: readonly KnownOption[] = taken,
): string[] {
  const text = readText(folder);
  if (text === undefined) return [];
  const settings = readSettings(text, [...known, ...fileSettings]);
  const own = [...taken, ...fileSettings];
  const given = (name: string): boolean =>
    command.options.some(
      (option) => option.name() === name && command.getOptionValueSource(option.attributeName()) === 'cli',
    );
  const applied = [...settings.keys()].filter((name) => {
    if (!own.some((option) => option.name() === name)) return false;
    if (name === 'map') return true;
    return !given(name) && !given(rivals[name] ?? '');
  });
  for (const option of own.filter((option) => applied.includes(option.name()))) {
    const value = settings.get(option.name());
    const attribute = option.attributeName();
    const fromLine = option.name() === 'map' ? command.getOptionValue(attribute) : undefined;
    // Later pairs win, so that what the command line maps stays mapped so.
    const whole = Array.isArray(value) && Array.isArray(fromLine) ? [...value, ...fromLine] : value;
    command.setOptionValueWithSource(attribute, whole, 'config');
  }
  return applied;
}

function readText(folder: string): string | undefined {
  try {
    const bytes = readFileSync(join(folder, fileName));
    if (bytes.length > largestFile)
      throw new UsageError(`${fileName} has more than 64 KB: it holds only options`);
    if (!isUtf8(bytes)) throw new UsageError(`${fileName} is not UTF-8: save it as UTF-8`);
    return bytes.toString();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (systemCode(error) !== 'ENOENT') {
      throw new UsageError(`${fileName} cannot be read: ${printable(toError(error).message)}`);
    }
    if (existsSync(join(folder, 'reshoot.yml'))) {
      throw new UsageError(`reshoot.yml is not read: rename it to ${fileName}`);
    }
    return undefined;
  }
}

/** Notes a mistake at the node, else at the setting's name. */
type Say = (problem: string, node?: Node | null) => undefined;

/** What is wrong, and where in the text. */
interface Mistake {
  at: number;
  problem: string;
}

/**
 * The settings of a `reshoot.yaml`. All its values are texts as they are written: `00123` and `1:1` stay so.
 * @throws UsageError with every mistake, its line and column
 */
export function readSettings(text: string, options: readonly KnownOption[]): Settings {
  const lines = new LineCounter();
  const document = parseDocument(text, { schema: 'failsafe', lineCounter: lines, prettyErrors: false });
  const flaws = [...document.errors, ...document.warnings];
  const mistakes = flaws.map(({ code, pos, message }) => ({
    at: pos[0],
    problem: syntaxFlaws[code] ?? `${printable(message)}: ${quoteIt}`,
  }));
  // After another flaw of syntax nothing can be trusted to be what was meant.
  const garbled = flaws.findIndex(({ code }) => code !== 'DUPLICATE_KEY');
  if (garbled >= 0) refuse(mistakes.slice(garbled, garbled + 1), lines);
  const settings = collect(document.contents, options, mistakes);
  refuse(mistakes, lines);
  return settings;
}

function refuse(mistakes: Mistake[], lines: LineCounter): void {
  if (mistakes.length === 0) return;
  const told = mistakes
    .toSorted((a, b) => a.at - b.at)
    .slice(0, mostShown)
    .map(({ at, problem }) => {
      const { line, col } = lines.linePos(at);
      return `${fileName}:${line}:${col}: ${problem}`;
    });
  const [first = ''] = told;
  const title = `${fileName} has ${mistakes.length} mistakes:`;
  throw new UsageError(told.length === 1 ? first : [title, ...told].join('\n  '));
}

/** All settings that can be read; what can't be goes to the mistakes. */
function collect(contents: Node | null, options: readonly KnownOption[], mistakes: Mistake[]): Settings {
  const settings: Settings = new Map();
  if (contents === null) return settings;
  if (!isMap<Node, Node | null>(contents)) {
    mistakes.push({ at: startOf(contents), problem: 'write a setting a line, such as "size: 2K"' });
    return settings;
  }
  for (const { key, value } of contents.items) {
    const say: Say = (problem, node) => void mistakes.push({ at: startOf(node ?? key), problem });
    if (!isScalar(key)) {
      say('a setting has a plain name');
      continue;
    }
    const name = String(key.value);
    const option = options.find((option) => option.name() === name);
    const read = option ? readValue(option, value, say) : say(unknown(name, options));
    if (read !== undefined) settings.set(name, read);
    const rival = settings.get(rivals[name] ?? '');
    if (read === true && rival === true) say(`${name} and ${rivals[name]} exclude each other: remove one`);
  }
  return settings;
}

const startOf = (node: Node): number => node.range?.[0] ?? 0;

const quoteIt =
  'a text that holds : # { } [ ] & * or ! stands in quotation marks, such as name: "{id}.{ext}"';

/** What the parser says in words of its own trade. */
const syntaxFlaws: Record<string, string> = {
  BLOCK_AS_IMPLICIT_KEY: `there is a second ": " on the line: ${quoteIt}`,
  DUPLICATE_KEY: 'this setting stands here twice: remove one of the two',
  MULTIPLE_DOCS: 'a second document begins here: remove the line ---',
  TAB_AS_INDENT: 'the line begins with a tab: use spaces',
  TAG_RESOLVE_FAILED: `a word with ! means nothing here: ${quoteIt}`,
};

/** The file is often shared and kept in git, so nothing secret may get used to standing in it. */
function unknown(name: string, options: readonly KnownOption[]): string {
  if (/key|secret|token|password/i.test(name)) {
    return 'keys and secrets have no place in this file: put the key into .env, as SPIDERHUBS_API_KEY=…';
  }
  const shown = printable(name, 80);
  if (/^(spiderhubs|reshoot|redis|aws)[-_]/i.test(name)) {
    return `"${shown}" is a setting of the environment: put it into .env`;
  }
  const names = options.map((option) => option.name());
  return `"${shown}" is no setting: ${didYouMean(name, names) || `there are ${names.join(', ')}`}`;
}

function readValue(
  option: KnownOption,
  node: Node | null,
  say: Say,
): string | boolean | string[] | undefined {
  const name = option.name();
  if (name === 'map') return readMap(node, say);
  if (name === 'ids' && isSeq<Node>(node)) return readWords(name, node.items, say).join(',');
  if (!option.isBoolean()) return readOption(name, node, say);
  const word = isScalar(node) ? node.value : undefined;
  return word === 'true' || word === 'false' ? word === 'true' : say(`${name} is true or false`, node);
}

/** The text of an option, where it is one that the option takes. */
function readOption(name: string, node: Node | null, say: Say): string | undefined {
  const word = readWord(name, node, say);
  if (word === undefined) return undefined;
  const flaw = valueFlaw(name, word);
  return flaw === undefined ? word : say(`${name}: ${printable(word, 80)}: ${flaw}`, node);
}

/** A mapping of fields to columns, or texts as after `--map`. */
function readMap(node: Node | null, say: Say): string[] {
  if (isSeq<Node>(node)) return readWords('map', node.items, say);
  if (!isMap<Node, Node | null>(node)) return readWords('map', [node], say);
  return node.items.flatMap(({ key, value }) => {
    const field = readWord('map', key, say);
    if (field === undefined) return [];
    if (!fields.some((known) => known === field)) {
      say(`map: "${printable(field, 80)}" is none of ${fields.join(', ')}`, key);
    }
    const column = readWord(`map ${field}`, value, say);
    return column === undefined ? [] : [`${field}=${column}`];
  });
}

function readWords(name: string, nodes: (Node | null)[], say: Say): string[] {
  return nodes.flatMap((node) => readWord(name, node, say) ?? []);
}

/** What a plain word means in YAML, though not to who writes it as a prompt. */
const noText = new Set(['', '~', 'null', 'true', 'false']);

function readWord(name: string, node: Node | null, say: Say): string | undefined {
  if (!isScalar<string>(node)) return say(`${name} takes one value; ${quoteIt}`, node);
  const isPlain = node.type === 'PLAIN';
  if (isPlain && noText.has(node.value)) return say(`${name} needs a value; "" is an empty one`, node);
  // Prompts are paid for: none goes out with its end or its beginning missing.
  if (node.anchor !== undefined || (isPlain && name === 'prompt' && node.comment)) {
    return say(`a part of this would be lost: ${quoteIt}`, node);
  }
  return node.value;
}
