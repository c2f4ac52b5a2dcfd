import { expect, it } from 'vitest';
import type { Check } from '../../src/batch/check.ts';
import { checkText } from '../../src/commands/check-text.ts';
import type { Finding } from '../../src/model.ts';

const textOf = (findings: Finding[]): string[] => {
  const found: Partial<Omit<Check, 'findings' | 'manifest'>> & { findings: Finding[]; manifest: object } = {
    findings,
    manifest: { rows: 2000, notes: [] },
    due: 0,
    selected: 2000,
    invalid: 0,
  };
  return [...checkText('goods.csv', found as never, false, undefined)].join('').trimEnd().split('\n');
};

const nameOf = (line: number): string => `${'ab'.repeat(line)}.jpg`;
const missing = (line: number): Finding => ({
  file: 'goods.csv',
  line,
  column: 'image',
  value: nameOf(line),
  problem: `there is no file /photos/${nameOf(line)}`,
  remedy: 'check the spelling',
});

it('many findings of one kind are one line, which tells how many and where the first is', () => {
  const other: Finding = {
    file: 'goods.csv',
    line: 30,
    column: 'id',
    problem: 'the id is empty',
    remedy: 'write one',
  };
  const text = textOf([...Array.from({ length: 21 }, (_, at) => missing(at + 17)), other]);
  expect(text).toEqual([
    `21 rows, the first goods.csv:17:image: "${nameOf(17)}": there is no file /photos/${nameOf(17)} → check the spelling; --json lists all`,
    'goods.csv:30:id: the id is empty → write one',
    'goods.csv: 2000 rows, 0 to do, 22 problems',
  ]);
});

it('few are told one by one', () => {
  const text = textOf(Array.from({ length: 20 }, (_, at) => missing(at + 2)));
  expect(text).toHaveLength(21);
  expect(text[19]).toContain(nameOf(21));
});
