import { describe, expect, test } from 'vitest';
import { accountOf, createAccount } from '../../src/simulator/account.ts';
import { chanceOf } from '../../src/simulator/chance.ts';
import { createCount, type Counting } from '../../src/simulator/counting.ts';
import { bodyLimit, readEdit } from '../../src/simulator/edit.ts';
import {
  drawFault,
  faultNames,
  nextStep,
  parseFault,
  parseFaults,
  parseMarker,
  type Step,
} from '../../src/simulator/faults.ts';
import { cutOut } from '../../src/simulator/ground.ts';
import { assumedPixels, pixelsOf } from '../../src/simulator/pixels.ts';
import { UsageError } from '../../src/errors.ts';
import type { Route } from '../../src/model.ts';

describe('the limit of an account', () => {
  /** What the calls at these times are told. */
  const told = (counting: Counting, limit: number, times: number[]): (number | undefined)[] =>
    times.map(createCount(counting, limit, 1000));

  test('slides: room comes back one call at a time', () => {
    const free = [undefined, undefined, undefined];
    expect(told('sliding', 3, [0, 400, 800, 1001, 1200])).toEqual([...free, undefined, 600]);
  });

  test('a refused call counts where the window slides, so that hammering never gets through', () => {
    const answers = told(
      'sliding',
      2,
      Array.from({ length: 50 }, (_, i) => i * 400),
    );
    expect(answers.filter((wait) => wait === undefined)).toHaveLength(2);
  });

  test('aligned windows begin at multiples of their length, whenever the first call came', () => {
    expect(told('aligned', 2, [1900, 1999, 2000, 2001, 2002, 2900])).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      998,
      100,
    ]);
    expect(told('aligned', 2, [1100, 1101, 1150, 1999, 2000]).at(-1)).toBeUndefined();
  });

  test('a bucket begins full, refills steadily, and gives refused calls away for nothing', () => {
    expect(told('bucket', 2, [5000, 5000, 5100, 5200, 5500, 5999, 6000])).toEqual([
      undefined,
      undefined,
      400,
      300,
      undefined,
      expect.closeTo(1),
      undefined,
    ]);
    expect(told('bucket', 2, [0, 60_000, 60_000, 60_000])).toEqual([undefined, undefined, undefined, 500]);
  });

  test.each(['sliding', 'aligned', 'bucket'] as const)(
    '%s: at most the limit is accepted, in any window where it slides and twice that where it does not',
    (counting) => {
      const random = chanceOf(3, 1);
      const count = createCount(counting, 30, 60_000);
      const accepted: number[] = [];
      for (let at = 0; at < 1_000_000; at += random() * (counting === 'sliding' ? 4500 : 2000)) {
        if (count(at) === undefined) accepted.push(at);
      }
      const fullest = Math.max(
        ...accepted.map((from) => accepted.filter((at) => at >= from && at <= from + 60_000).length),
      );
      expect(fullest).toBeLessThanOrEqual(counting === 'sliding' ? 30 : 60);
      if (counting !== 'sliding') expect(fullest).toBeGreaterThan(30);
      expect(accepted.length).toBeGreaterThan(100);
    },
  );

  test('credits are taken, given back and used up', () => {
    const account = createAccount({ counting: 'sliding', limit: 30, windowMs: 1000 }, 1);
    expect([account.reserve(), account.reserve()]).toEqual([true, false]);
    account.release();
    expect(account.reserve()).toBe(true);
  });

  test.each([
    ['Bearer sk_live_demo', 'demo'],
    ['Bearer sk_live_demo-2', 'demo'],
    ['Bearer sk_live_demo-a-b', 'demo'],
    ['Bearer sk_live_', undefined],
    ['Bearer sk_live_-2', undefined],
    ['Bearer sk_test_demo', undefined],
    ['sk_live_demo', undefined],
    [undefined, undefined],
  ])('%s is the account %s', (authorization, account) => {
    expect(accountOf(authorization)).toBe(account);
  });
});

describe('faults', () => {
  test('every name is one fault for markers and shares alike', () => {
    const names = faultNames.map((name) => name.replace('<code>', '1001').replace('<percent>', '99.9'));
    for (const name of names) {
      expect(parseMarker(`[sim:${name}]`)).toEqual([
        { fault: parseFault(name), always: false, route: undefined },
      ]);
      expect(parseFaults(`${name}=1%`)).toEqual([{ fault: parseFault(name), share: 0.01 }]);
    }
  });

  test.each(['', 'nope', '599', 'cut-image', 'cut-image:0%', 'cut-image:100%', 'envelope:', 'toString'])(
    '"%s" is none',
    (name) => {
      expect(() => parseFault(name)).toThrow(UsageError);
    },
  );

  test('what was certainly not made is free, what was made is charged, the rest is a coin', () => {
    const names = ['402', '500', '503-envelope', 'policy', 'reset-before', 'envelope:429'];
    expect(names.map((name) => parseFault(name).charged)).toEqual(names.map(() => 'no'));
    const paid = ['empty', 'null', 'cut-body', 'cut-base64', 'not-image', 'cut-image:50%'];
    expect(paid.map((name) => parseFault(name).charged)).toEqual(paid.map(() => 'yes'));
    const doubtful = ['502', '503', '504', '520', 'html', 'reset', 'hang', 'envelope:1001'];
    expect(doubtful.map((name) => parseFault(name).charged)).toEqual(doubtful.map(() => 'coin'));
  });

  test.each(['503', '503=1', '503=x%', '=1%', 'nope=1%', '503=60%,reset=60%', ''])(
    'the shares "%s" are refused',
    (spec) => {
      expect(() => parseFaults(spec)).toThrow(UsageError);
    },
  );

  test('shares are met, and the same seed draws the same', () => {
    const faults = parseFaults('503=10%, reset=5%');
    const draw = (seed: number) =>
      Array.from({ length: 4000 }, (_, n) => drawFault(faults, chanceOf(seed, n + 1))?.name ?? '-');
    const drawn = draw(7);
    expect(draw(7)).toEqual(drawn);
    expect(draw(8)).not.toEqual(drawn);
    expect(drawn.filter((name) => name === '503').length / 4000).toBeCloseTo(0.1, 1);
    expect(drawn.filter((name) => name === 'reset').length / 4000).toBeCloseTo(0.05, 1);
  });
});

function play(prompt: string, routes: Route[]): string[] {
  const steps: Step[] = parseMarker(prompt) ?? [];
  const spent = new Set<number>();
  return routes.map((route) => nextStep(steps, route, spent)?.name ?? 'ok');
}

describe('markers', () => {
  test.each<[string, Route[], string[]]>([
    ['[sim:503,reset] a vase', [1, 2, 1, 2], ['503', 'reset', 'ok', 'ok']],
    ['a vase [sim:503*]', [1, 2, 1], ['503', '503', '503']],
    ['[sim:503*@1]', [1, 2, 1, 2], ['503', 'ok', '503', 'ok']],
    ['[sim:429, 502*@2]', [2, 2, 1], ['429', '502', 'ok']],
    ['[sim:500@2,hang]', [1, 2, 1], ['hang', '500', 'ok']],
    ['[sim:500] and [sim:cut-image:50%]', [1, 1, 1], ['500', 'cut-image:50%', 'ok']],
  ])('%s', (prompt, routes, expected) => {
    expect(play(prompt, routes)).toEqual(expected);
  });

  test('a prompt without one has no script', () => {
    expect(parseMarker('a vase [simple]')).toBeUndefined();
  });

  test.each(['[sim:]', '[sim:nope]', '[sim:503@3]', '[sim:503', '[sim:503,,reset]', '[sim:503@1*]'])(
    '%s is refused',
    (prompt) => {
      expect(() => parseMarker(prompt)).toThrow(UsageError);
    },
  );
});

const read = (fields: object) => readEdit(Buffer.from(JSON.stringify(fields)));

describe('what a call asks for', () => {
  const gif = Buffer.from('GIF89a, the rest is not looked at');
  const row = { prompt: 'a vase', image_b64: gif.toString('base64') };

  test('defaults are 2K, 1:1, route 1', () => {
    expect(read(row)).toMatchObject({ pixels: assumedPixels['2K']['1:1'], route: 1, reference: gif });
    expect(read({ ...row, extra: 1 }).prompt).toBe('a vase');
  });

  test('both references: image_b64 is ignored, even a wrong one', () => {
    const image_urls = ['https://example.com/a.jpg'];
    expect(read({ prompt: 'x', image_urls, image_b64: 7 }).reference).toBe('https://example.com/a.jpg');
  });

  test('a data: URI and an array are taken, the first picture counts', () => {
    const image_b64 = [`data:image/gif;base64,${row.image_b64}`, row.image_b64];
    expect(read({ ...row, image_b64 }).reference).toEqual(gif);
  });

  test.each<[object, string]>([
    [{ prompt: undefined }, 'prompt'],
    [{ prompt: ' ' }, 'prompt'],
    [{ prompt: 7 }, 'prompt'],
    [{ size: '3K' }, 'size'],
    [{ size: '2k' }, 'size'],
    [{ size: '8193x10' }, 'size'],
    [{ size: '0x10' }, 'size'],
    [{ size: 1024 }, 'size'],
    [{ ratio: '2:1' }, 'ratio'],
    [{ route: '1' }, 'route'],
    [{ route: 3 }, 'route'],
    [{ image_b64: undefined }, 'image_urls and image_b64'],
    [{ image_b64: [] }, 'image_urls and image_b64'],
    [{ image_b64: 7 }, 'image_b64'],
    [{ image_b64: '!!!!' }, 'image_b64[0]'],
    [{ image_b64: 'R0lGODlh=' }, 'image_b64[0]'],
    [{ image_b64: Buffer.from('plain text').toString('base64') }, 'image_b64[0]'],
    [{ image_b64: Array.from({ length: 11 }, () => row.image_b64) }, 'image_b64'],
    [{ image_urls: 'https://example.com' }, 'image_urls'],
    [{ image_urls: ['ftp://example.com/a.jpg'] }, 'image_urls[0]'],
    [{ image_urls: Array.from({ length: 6 }, () => 'https://example.com/a.jpg') }, 'image_urls'],
  ])('%j is refused and the message names %s', (change, field) => {
    expect(() => read({ ...row, ...change })).toThrow(field);
  });

  test('a picture of 8 MB passes, one of a byte more does not', () => {
    const picture = Buffer.concat([gif, Buffer.alloc(8_000_000 - gif.length)]);
    expect(read({ ...row, image_b64: picture.toString('base64') }).reference).toHaveLength(8_000_000);
    const larger = Buffer.concat([picture, Buffer.alloc(1)]).toString('base64');
    expect(() => read({ ...row, image_b64: larger })).toThrow('image_b64[0] is over 8 MB');
    expect(bodyLimit).toBe(40_000_000);
  });

  test.each([
    Buffer.from('no json'),
    Buffer.from('[1]'),
    Buffer.from('null'),
    Buffer.from([0x22, 0xff, 0x22]),
  ])('a body that is no JSON object in UTF-8 is refused', (body) => {
    expect(() => readEdit(body)).toThrow('the body');
  });

  test('a plain size is exact, a tier turns with its ratio', () => {
    expect(pixelsOf('640x481', '16:9')).toEqual({ width: 640, height: 481 });
    for (const tier of ['1K', '2K', '4K']) {
      const { width, height } = pixelsOf(tier, '16:9')!;
      expect(pixelsOf(tier, '9:16')).toEqual({ width: height, height: width });
      expect(width / height).toBeCloseTo(16 / 9, 2);
    }
  });
});

describe('the plain ground', () => {
  const width = 64;
  const blank = (value: number) => Buffer.alloc(width * width * 3, value);
  const paint = (data: Buffer, left: number, top: number, side: number, value: number) => {
    for (let y = top; y < top + side; y++)
      data.fill(value, (y * width + left) * 3, (y * width + left + side) * 3);
    return data;
  };
  const raster = (data: Buffer) => ({ data, width, height: width });

  test('is told from the object, and dirt on it is dropped', () => {
    const found = cutOut(raster(paint(paint(blank(240), 20, 24, 22, 40), 4, 4, 3, 60)))!;
    expect(found.ground).toEqual([240, 240, 240]);
    expect(found.box).toEqual({ left: 20, top: 24, right: 41, bottom: 45 });
    expect([found.mask[30 * width + 30], found.mask[5 * width + 5]]).toEqual([255, 0]);
  });

  test('inside the object is not ground', () => {
    const found = cutOut(raster(paint(paint(blank(240), 16, 16, 32, 40), 28, 28, 8, 240)))!;
    expect(found.mask[32 * width + 32]).toBe(255);
  });

  test('is missing where the border is motley or nothing stands before it', () => {
    const noise = Buffer.from(blank(0).map((_, at) => (at * 7919) % 256));
    expect(cutOut(raster(noise))).toBeUndefined();
    expect(cutOut(raster(blank(255)))).toBeUndefined();
  });
});
