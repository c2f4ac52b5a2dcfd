import { expect, it } from 'vitest';
import { createWaitingLine } from '../../src/batch/waiting-line.ts';

const sources = [{ kind: 'url' as const, url: 'https://shop.example/a.jpg' }];

it('a few rows look again soon, the others wait without a job; those that never came back are forgotten', () => {
  let now = 0;
  const line = createWaitingLine(() => now);
  const ends = Array.from({ length: 7 }, (_, i) => line.wait(`r1.${i}`, sources).is);
  expect(ends).toEqual([...Array<string>(5).fill('handed back'), 'done', 'done']);
  expect(line.leave('r1.6')).toEqual([]);
  expect(line.leave('r1.0')).toMatchObject([{ sources }]);
  expect(line.leave('r1.0')).toEqual([]);
  expect(line.wait('r1.6', sources).is).toBe('handed back');
  expect(line.wait('r1.5', sources).is).toBe('done');
  now = 31_000;
  expect(line.wait('r1.5', sources).is).toBe('handed back');
  expect(line.leave('r1.1')).toEqual([]);
});

it('a row waits with a job for half a minute at most, and again when it has got another', () => {
  let now = 0;
  const line = createWaitingLine(() => now);
  const looks = (): number => {
    for (let times = 1; times < 100; times += 1) {
      line.leave('r1.1');
      if (line.wait('r1.1', sources).is === 'done') return times;
      now += 1000;
    }
    return 100;
  };
  expect(looks()).toBe(32);
  expect(looks()).toBe(32);
});
