import { posix } from 'node:path';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createIds, idFlaw, type IdSource } from '../../src/manifest/ids.ts';
import {
  checkNameTemplate,
  createNameMaker,
  createNameRegister,
  nameFlaw,
  nameSlots,
} from '../../src/manifest/names.ts';

const makeName = (template: string, valueOf: (name: string) => string): string =>
  createNameMaker(template).make(valueOf);
const fromId = (id: string): string => makeName('{id}.{ext}', () => id);

describe('names made from columns', () => {
  it('keep letters of all scripts, digits, dot, underscore, hyphen, and nothing else', () => {
    expect(fromId('AB-1_2.3')).toBe('AB-1_2.3.{ext}');
    expect(fromId('红色 鞋/1')).toBe('红色_鞋_1.{ext}');
    expect(fromId('a👟b$&c')).toBe('a_b__c.{ext}');
    expect(fromId('Cafe\u0301')).toBe('Caf\u00E9.{ext}');
  });

  it('are cut with a hash over 120 bytes, between code points, and stay different', () => {
    const long = fromId('鞋'.repeat(60));
    expect(Buffer.byteLength(long.replace('.{ext}', ''))).toBeLessThanOrEqual(120);
    expect(long).toMatch(/^鞋{37}-[0-9a-f]{8}\.\{ext\}$/);
    expect(fromId(`${'x'.repeat(130)}1`)).not.toBe(fromId(`${'x'.repeat(130)}2`));
    expect(fromId('x'.repeat(120))).toBe(`${'x'.repeat(120)}.{ext}`);
  });

  it('take columns whose names hold slashes, and leave the template’s own folders', () => {
    const name = makeName('web/{Shop / Gender}/{id}-1.{ext}', (slot) => (slot === 'id' ? '7' : 'a/b'));
    expect(name).toBe('web/a_b/7-1.{ext}');
    expect(nameSlots('web/{Shop / Gender}/{id}-1.{ext}')).toEqual(['Shop / Gender', 'id']);
  });

  it('never lead out of the output, whatever the cells hold', () => {
    const value = fc.oneof(
      fc.string(),
      fc.string({ unit: fc.constantFrom('.', '/', '\\', 'a', ' ', '\0', ':') }),
    );
    const templates = fc.constantFrom('{id}.{ext}', '{a}/{id}.{ext}', '{a}{id}', 'x/{a}/{a}-{id}.{ext}');
    fc.assert(
      fc.property(templates, value, value, (template, a, id) => {
        const name = makeName(template, (slot) => (slot === 'id' ? id : a));
        if (nameFlaw(name) !== undefined) return;
        const path = posix.resolve('/out', name);
        expect(path).toBe(`/out/${name}`);
        expect(path.slice(5)).not.toMatch(/^(\.reshoot|report)(\/|$)/i);
      }),
    );
  });

  it('refuse templates that cannot be meant', () => {
    for (const template of ['', '{id', 'id}.png', '{ext}/{id}', '{id}.{ext}.{ext}', '{id}{ext}']) {
      expect(() => checkNameTemplate(template), template).toThrow(/--name/);
    }
    expect(() => checkNameTemplate('{a}/{id}.png')).not.toThrow();
  });
});

describe('names as given', () => {
  it('are refused where they lead out, hide, or cannot be written everywhere', () => {
    const refused = [
      '',
      '/etc/x.jpg',
      '../x.jpg',
      'a/../b.jpg',
      './a.jpg',
      'a//b.jpg',
      'a/',
      'C:x.jpg',
      'a\\b.jpg',
      'a\0.jpg',
      'a\nb.jpg',
      '.reshoot/x.jpg',
      '.Reshoot',
      'report/x.jpg',
      'a./b.jpg',
      'a.jpg ',
      'CON',
      'x/nul.jpg',
      'com1.{ext}',
      '.{ext}',
      'a{ext}',
      'x'.repeat(256),
      `${'x'.repeat(252)}.{ext}`,
      'x/'.repeat(460) + 'y',
    ];
    expect(refused.filter((name) => nameFlaw(name) === undefined)).toEqual([]);
  });

  it('are taken otherwise, just as they are', () => {
    const taken = [
      'a.jpg',
      'rot/红 鞋 (1).png',
      '..a.jpg',
      'reports/x.jpg',
      'a/report/x.jpg',
      'console.jpg',
      '{x}.{ext}',
    ];
    expect(taken.filter((name) => nameFlaw(name) !== undefined)).toEqual([]);
  });
});

const meetings = (...names: string[]): (number | undefined)[] => {
  const meets = createNameRegister();
  return names.map((name, at) => meets(name, at + 1));
};

describe('names together', () => {
  it('meet by case, Unicode form and open extension', () => {
    expect(meetings('a.jpg', 'A.JPG')).toEqual([undefined, 1]);
    expect(meetings('Caf\u00E9.{ext}', 'cafe\u0301.{ext}')).toEqual([undefined, 1]);
    expect(meetings('a.{ext}', 'a.webp')).toEqual([undefined, 1]);
    expect(meetings('a.jpg', 'a.{ext}')).toEqual([undefined, 1]);
    expect(meetings('Straße.jpg', 'STRASSE.jpg')).toEqual([undefined, 1]);
    expect(meetings('a.jpg', 'a.png', 'b.{ext}', 'a.jpg.txt')).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('meet where one needs a folder of the other’s name', () => {
    expect(meetings('shoes', 'Shoes/red.jpg')).toEqual([undefined, 1]);
    expect(meetings('shoes/red/1.jpg', 'shoes')).toEqual([undefined, 1]);
    expect(meetings('shoes/1.jpg', 'shoes/2.jpg')).toEqual([undefined, undefined]);
  });

  it('write one file only if they met, on a disk that ignores case and Unicode form', () => {
    const name = fc.string({ unit: fc.constantFrom('a', 'A', 'é', 'e\u0301', '/', 'b'), minLength: 1 });
    const ending = fc.constantFrom('', '.jpg', '.PNG', '.{ext}');
    const names = fc.array(
      fc.tuple(name, ending).map((parts) => parts.join('')),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(names, fc.constantFrom('jpg', 'png', 'webp'), (names, ext) => {
        const meets = createNameRegister();
        const kept = names.filter(
          (name, at) => nameFlaw(name) === undefined && meets(name, at) === undefined,
        );
        const files = kept.map((name) => name.replace('{ext}', ext).normalize('NFC').toLowerCase());
        expect(new Set(files).size).toBe(files.length);
      }),
    );
  });
});

/** As they are given when the table was read once before. */
const giveIds = (rows: IdSource[]): string[] => {
  const ids = createIds();
  for (const { given } of rows) if (given !== '') ids.reserve(given);
  return rows.map((row, at) => ids.take(row, at + 1));
};
const ids = (...images: string[]): string[] => giveIds(images.map((image) => ({ given: '', image })));

describe('ids', () => {
  it('come from the picture’s name where none is given', () => {
    expect(ids('photos/red shoe.JPG', 'https://x.org/a/b%20c.png?v=1.2', '.hidden', 'tab\tname.jpg')).toEqual(
      ['red shoe', 'b c', '.hidden', 'tab_name'],
    );
    expect(ids('', 'data:image/png;base64,AAAA', 'https://x.org/', 'a|b')).toEqual([
      'row-1',
      'row-2',
      'row-3',
      'a',
    ]);
  });

  it('are made unique, also against ids that are given further down', () => {
    const rows = [
      { given: '', image: 'a.jpg' },
      { given: '', image: 'b/a.png' },
      { given: 'a-2', image: '' },
      { given: '', image: 'a' },
    ];
    expect(giveIds(rows)).toEqual(['a', 'a-3', 'a-2', 'a-4']);
    expect(new Set(ids(...Array.from({ length: 5000 }, () => 'same.jpg'))).size).toBe(5000);
  });

  it('hold no control characters and are not endless', () => {
    expect(idFlaw('00123')).toBeUndefined();
    expect(idFlaw('a\nb')).toMatch(/line break/);
    expect(idFlaw('x'.repeat(301))).toMatch(/301/);
  });
});
