import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'csv-stringify/sync';
import * as fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { createNameMaker, createNameRegister, nameFlaw, nameSlots } from '../../src/manifest/names.ts';
import { fillPrompt, promptSlots } from '../../src/manifest/template.ts';
import { manifestDefaults as options, readAll } from '../fixtures/manifest.ts';

const folder = mkdtempSync(join(tmpdir(), 'manifest-properties-'));
afterAll(() => rmSync(folder, { recursive: true }));

const makeName = (template: string, valueOf: (name: string) => string): string =>
  createNameMaker(template).make(valueOf);

describe('a table', () => {
  const dialects = fc.record({
    delimiter: fc.constantFrom(',', ';', '\t'),
    record_delimiter: fc.constantFrom('\n', '\r\n'),
    quoted: fc.boolean(),
    bom: fc.boolean(),
  });
  const cell = fc.oneof(
    fc.string(),
    fc.string({
      unit: fc.constantFrom('a', '"', ',', ';', '\t', '\n', '\r\n', ' ', "'", '=', '提', '👟', '|'),
    }),
  );
  const rows = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[A-Z0-9]{1,8}$/), cell, cell), {
    selector: ([id]) => id.toUpperCase(),
    maxLength: 8,
    minLength: 1,
  });

  it('of any dialect is read as it was written', async () => {
    await fc.assert(
      fc.asyncProperty(rows, dialects, fc.boolean(), async (rows, { bom, ...dialect }, wide) => {
        const written = rows.map(([id, prompt, note]) => [
          id,
          'https://shop.example/a.jpg',
          `x${prompt}`,
          note,
        ]);
        const text = stringify([['id', 'image', 'prompt', 'note'], ...written], {
          ...dialect,
          // Else a parser may take what stands there for a line end, or for a quotation mark.
          quoted_match: /[\r\n"]/,
        });
        const file = join(folder, 'any.csv');
        writeFileSync(file, bom || wide ? `\uFEFF${text}` : text, wide ? 'utf16le' : 'utf8');
        const { rows: read, findings } = await readAll(file, options);
        expect(findings).toEqual([]);
        expect(read.map(({ id, prompt, columns }) => [id, prompt, columns['note']])).toEqual(
          written.map(([id, , prompt, note]) => [id, prompt, note]),
        );
      }),
      { numRuns: 60 },
    );
  });
});

/** Cells that names were not made for, and some that they were. */
const cells = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc.string({
    unit: fc.constantFrom('.', '/', '\\', 'a', 'A', ' ', '\0', ':', '~', '鞋', 'e\u0301'),
    maxLength: 200,
  }),
  fc.constantFrom('con', 'NUL.txt', 'com1', '..', '.', '', 'report', '.reshoot', '{ext}', '{id}', 'C:x'),
);

describe('a name made from cells', () => {
  it('of an id alone can always be written, but for empty ids and devices', () => {
    fc.assert(
      fc.property(cells, (id) => {
        const flaw = nameFlaw(makeName('{id}.{ext}', () => id));
        if (id === '') expect(flaw).toBe('a part of the name is empty');
        else if (flaw !== undefined) expect(flaw).toMatch(/is a device on Windows$/);
      }),
    );
  });

  it('has stems of at most 120 bytes, as many folders as its template, and no second form', () => {
    const template = fc.constantFrom('{id}.{ext}', '{a}/{id}.{ext}', 'x/{a}-{id}/{id}{a}.{ext}');
    fc.assert(
      fc.property(template, cells, cells, (template, a, id) => {
        const made = makeName(template, (name) => (name === 'a' ? a : id));
        const segments = made.split('/');
        expect(segments).toHaveLength(template.split('/').length);
        for (const segment of segments) {
          const stem = segment.replace(/\.\{ext\}$/, '');
          expect(Buffer.byteLength(stem)).toBeLessThanOrEqual(120);
          expect(stem).toMatch(/^[\p{L}\p{Nd}._-]*$/u);
          expect(makeName('{id}', () => stem)).toBe(stem);
        }
      }),
    );
  });

  it('is made from the columns that its template names, each as often as it stands there', () => {
    fc.assert(
      fc.property(cells, cells, (a, b) => {
        const asked: string[] = [];
        makeName('{a}/{b}-{a}.{ext}', (name) => {
          asked.push(name);
          return name === 'a' ? a : b;
        });
        expect(new Set(asked)).toEqual(new Set(nameSlots('{a}/{b}-{a}.{ext}')));
      }),
    );
  });
});

describe('names on a disk that ignores case and Unicode form', () => {
  const part = fc.string({
    unit: fc.constantFrom('a', 'A', 'é', 'e\u0301', 'ß', 'ẞ', 'SS', 'ſ', 'σ', 'ς', 'K', '\u212A', 'ﬁ', 'FI'),
    minLength: 1,
    maxLength: 2,
  });
  const ending = fc.constantFrom('', '', '.jpg', '.PNG');
  const folderName = fc.tuple(part, ending).map((parts) => parts.join(''));
  const last = fc.tuple(part, fc.constantFrom('', '.jpg', '.PNG', '.{ext}')).map((parts) => parts.join(''));
  const names = fc.array(
    fc.tuple(fc.array(folderName, { maxLength: 1 }), last).map(([above, last]) => [...above, last].join('/')),
    { maxLength: 10 },
  );
  /** Full folding, as the strictest of them does it. */
  const onDisk = (name: string): string =>
    name.normalize('NFD').toLowerCase().toUpperCase().toLowerCase().normalize('NFC');

  it('never write one file, nor a file where another needs a folder, unless they were told to meet', () => {
    fc.assert(
      fc.property(names, fc.constantFrom('jpg', 'png', 'webp'), (names, ext) => {
        const meets = createNameRegister();
        const kept = names.filter((name, at) => meets(name, at) === undefined);
        const files = kept.map((name) => onDisk(name.replace('{ext}', ext)));
        expect(new Set(files).size).toBe(files.length);
        for (const file of files) expect(files.filter((other) => other.startsWith(`${file}/`))).toEqual([]);
      }),
      {
        numRuns: 500,
        examples: [
          [['a.jpg/b', 'a.{ext}'], 'jpg'],
          [['a.{ext}', 'A.PNG/b'], 'png'],
          [['straße.jpg', 'STRAẞE.jpg'], 'jpg'],
        ],
      },
    );
  });
});

describe('a prompt template', () => {
  const literal = fc.string({ unit: fc.constantFrom('a', ' ', '}', '$&', '$1', '{', '鞋', '\\') });
  const name = fc.stringMatching(/^[a-z ]{1,4}$/);

  it('has each of its names filled once, with the very text of the cell, and the rest left alone', () => {
    const value = fc.oneof(fc.string(), fc.constantFrom('{{a}}', '$&', '{{', '}}', '$`', '{{b}} {{a}}'));
    const parts = fc.array(fc.tuple(literal, name), { maxLength: 5 });
    const values = fc.dictionary(name, value);
    fc.assert(
      fc.property(parts, literal, values, (parts, end, values) => {
        // A brace that stands at a name belongs to it.
        const clean = parts.map(([text, name]) => [text.replaceAll('{', ''), name] as const);
        const tail = end.replaceAll('{', '');
        const template = clean.map(([text, name]) => `${text}{{${name}}}`).join('') + tail;
        const valueOf = (name: string): string | undefined =>
          Object.hasOwn(values, name) ? values[name] : undefined;
        const filled =
          clean.map(([text, name]) => `${text}${valueOf(name) ?? `{{${name}}}`}`).join('') + tail;
        expect(fillPrompt(template, valueOf)).toBe(filled);
        expect(promptSlots(template)).toEqual(clean.map(([, name]) => name));
      }),
    );
  });

  it('without names is the prompt', () => {
    fc.assert(fc.property(fc.string(), (text) => fillPrompt(text, () => undefined) === text));
  });
});
