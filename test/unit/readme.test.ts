import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const read = (file: string): string => readFileSync(file, 'utf8');
const english = read('README.md');
const chinese = read('README.zh-CN.md');

const codeBlocks = (text: string): string[] => text.match(/^```.*?^```/gms) ?? [];
const prose = (text: string): string => text.replaceAll(/^```.*?^```/gms, '');
const headings = (text: string): string[] => prose(text).match(/^#+(?= )/gm) ?? [];
/** The first cells of all tables: names of commands, options, variables, files and codes. */
const names = (text: string): string[] =>
  (prose(text).match(/^\| `.*$/gm) ?? []).map((line) => line.split(/(?<!\\)\|/)[1]?.trim() ?? '');
const lists = (text: string): number => prose(text).match(/^- /gm)?.length ?? 0;

describe('the Chinese README', () => {
  it('has the headings of the English one, in their order', () => {
    expect(headings(english).length).toBeGreaterThan(15);
    expect(headings(chinese)).toEqual(headings(english));
  });

  it('shows the same code', () => {
    expect(codeBlocks(english).length).toBeGreaterThan(5);
    expect(codeBlocks(chinese)).toEqual(codeBlocks(english));
  });

  it('has the same tables and lists', () => {
    expect(names(english).length).toBeGreaterThan(60);
    expect(names(chinese)).toEqual(names(english));
    expect(lists(chinese)).toBe(lists(english));
  });
});
