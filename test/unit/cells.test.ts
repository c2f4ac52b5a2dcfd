import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { printable, quoteFormula, unquoteFormula } from '../../src/cells.ts';

const spreadsheetText = fc.string({
  unit: fc.constantFrom(
    "'",
    '=',
    '+',
    '-',
    '@',
    '1',
    '.',
    ',',
    ' ',
    '\t',
    '\r',
    '\n',
    'a',
    '＝',
    '\u00A0',
    '"',
  ),
});

describe('cells', () => {
  it('quotes what a spreadsheet would run, and leaves numbers and text', () => {
    const cells = ['=1+1', '+cmd', '@SUM(A1)', ' =1', "'=1", 'a\n=1', '-5', '+4,5', '-x', 'plain', '', '2-1'];
    expect(cells.map(quoteFormula)).toEqual([
      "'=1+1",
      "'+cmd",
      "'@SUM(A1)",
      "' =1",
      "''=1",
      "'a\n=1",
      '-5',
      '+4,5',
      "'-x",
      'plain',
      '',
      '2-1',
    ]);
  });

  it('unquotes every cell to what it was', () => {
    fc.assert(fc.property(spreadsheetText, (cell) => unquoteFormula(quoteFormula(cell)) === cell));
    fc.assert(fc.property(fc.string(), (cell) => unquoteFormula(quoteFormula(cell)) === cell));
  });

  it('prints others’ text without controls and not too long', () => {
    expect(printable('a\u001B[2Jb\u202Ec\n')).toBe('a\\u001b[2Jb\\u202ec\\u000a');
    expect(printable('abcdef', 3)).toBe('abc…');
  });
});
