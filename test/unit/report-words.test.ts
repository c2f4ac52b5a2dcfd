import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { codes } from '../../src/errors.ts';

interface Words {
  meanings: Record<string, string>;
}

/** The words of the page for a reader of Chinese; TypeScript looks at the page's scripts by themselves. */
let words: Words;
beforeAll(async () => {
  vi.stubGlobal('navigator', { languages: ['zh-CN'] });
  const file = new URL('../../src/report/page/words.js', import.meta.url).href;
  ({ words } = (await import(file)) as { words: Words });
});
afterAll(() => vi.unstubAllGlobals());

it('the page says in Chinese what every error code means', () => {
  expect(Object.keys(words.meanings)).toEqual(Object.keys(codes));
  expect(Object.values(words.meanings).filter((meaning) => !/\p{Script=Han}/u.test(meaning))).toEqual([]);
});
