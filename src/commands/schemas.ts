import { aliases, fields, type Field } from '../manifest/columns.ts';
import { ratios } from '../model.ts';
import { fileSettings } from './config-file.ts';

/** An option as the command line's library describes it. */
interface DescribedOption {
  description: string;
  defaultValue?: unknown;
  /** Its long name without dashes. */
  name(): string;
  isBoolean(): boolean;
}

type Schema = Record<string, unknown>;

const dialect = 'https://json-schema.org/draft/2020-12/schema';
const text = { type: ['string', 'number', 'null'] };
const size = { type: 'string', pattern: '^([124][Kk]|\\d{2,4}x\\d{2,4})$' };
const route = { enum: [1, 2, '1', '2'] };
const percent = { type: 'string', pattern: '^\\d+(\\.\\d+)?%$' };
const texts = { type: 'array', items: text };

/** Where an option takes not just any text. */
const kinds: Record<string, Schema> = {
  size,
  ratio: { enum: ratios },
  route,
  ids: { anyOf: [text, texts] },
  map: {
    anyOf: [
      {
        type: 'object',
        properties: Object.fromEntries(fields.map((field) => [field, text])),
        additionalProperties: false,
      },
      texts,
    ],
  },
  limit: { type: 'integer', minimum: 1 },
  'input-max': { type: 'integer', minimum: 1 },
  inputs: { enum: ['url', 'strict'] },
  'max-attempts': { type: 'integer', minimum: 1 },
  'max-credits': { type: 'integer', minimum: 1 },
  maxCreditsPerDay: { type: 'integer', minimum: 1 },
  'retry-budget': percent,
  'on-unknown': { enum: ['retry', 'hold'] },
  halt: { type: 'string', pattern: '^(never|fail=\\d+(\\.\\d+)?%)$' },
  concurrency: { anyOf: [{ const: 'auto' }, { type: 'integer', minimum: 1 }] },
};

/** JSON Schema of `reshoot.yaml`, for editors. */
export function configSchema(options: readonly DescribedOption[]): Schema {
  const known = options.map((option) => [option.name(), describedBy(option)] as const);
  const others = fileSettings.map((option) => {
    const name = option.name();
    return [name, { description: inFileOnly[name], ...(kinds[name] ?? text) }] as const;
  });
  return {
    $schema: dialect,
    title: 'reshoot.yaml: options of a folder',
    type: 'object',
    properties: Object.fromEntries([...known, ...others]),
    additionalProperties: false,
  };
}

function describedBy(option: DescribedOption): Schema {
  const { description, defaultValue } = option;
  const kind = option.isBoolean() ? { type: 'boolean' } : (kinds[option.name()] ?? text);
  const isTold = typeof defaultValue === 'string';
  return { description, ...kind, ...(isTold && { default: defaultValue }) };
}

const inFileOnly: Record<string, string> = {
  maxCreditsPerDay: "hard cap of each account's day",
  timeZone: 'whose day that is, such as Europe/Berlin',
  creditPrice: 'what a credit costs, such as 0.04 USD',
};

const meanings: Record<Field, [about: string, value: Schema]> = {
  id: ['names the row, whatever becomes of its picture', text],
  image: ['path, http(s) address or data: URI; several: only the first is used', { anyOf: [text, texts] }],
  prompt: ['what the picture should become; {{column}} is filled in', { type: 'string' }],
  size: ['a tier, or width x height', size],
  ratio: ['width to height', { enum: ratios }],
  route: ['generation route of the first call', route],
  output: ["the picture's name below the output", { type: 'string' }],
};

/** JSON Schema of a manifest in JSON or YAML, for editors and for programs that write one. */
export function manifestSchema(): Schema {
  const properties = fields.flatMap((field) => {
    const [about, value] = meanings[field];
    return aliases[field].map((name) => [name, { description: about, ...value }] as const);
  });
  const ref = (name: string): Schema => ({ $ref: `#/$defs/${name}` });
  return {
    $schema: dialect,
    title: 'A manifest of reshoot: a row a picture',
    anyOf: [ref('rows'), ref('document')],
    $defs: {
      row: {
        description: 'fields by any of their names, and columns of your own',
        type: 'object',
        properties: {
          preset: { description: 'the name of a preset', type: 'string' },
          ...Object.fromEntries(properties),
        },
      },
      rows: { type: 'array', items: ref('row') },
      document: {
        type: 'object',
        properties: {
          defaults: { description: 'values of rows that lack them', ...ref('row') },
          presets: {
            description: 'values of rows that name one',
            type: 'object',
            additionalProperties: ref('row'),
          },
          rows: ref('rows'),
        },
        required: ['rows'],
        additionalProperties: false,
      },
    },
  };
}
