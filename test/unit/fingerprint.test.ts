import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Picture, Row, Source } from '../../src/model.ts';
import { fingerprint, knownSources } from '../../src/records/fingerprint.ts';
import { callOf } from '../fixtures/call.ts';

const origin = 'https://api.example';
const asked = { prompt: 'on white', size: '2K', ratio: '1:1' } as const;
const fileOf = (over: Partial<Source & { kind: 'file' }> = {}): Source => ({
  kind: 'file',
  path: '/photos/a.jpg',
  bytes: 9,
  mtimeMs: 1.5,
  ino: 7,
  sha256: 'aa',
  ...over,
});
const url: Source = { kind: 'url', url: 'https://shop.example/a.jpg' };

describe('fingerprint', () => {
  const paid = fingerprint(origin, asked, [fileOf(), url]);

  it('is the same for the same request, from day to day and version to version', () => {
    expect(fingerprint(origin, { ...asked }, [fileOf(), { ...url }])).toBe(paid);
    // A change of this value would pay for every catalogue again.
    expect(paid).toBe('e89f49fcc95d96d9046f114babc4bfa12386461e5eb96bec6deaf89117fa5690');
  });

  it.each([
    ['API', fingerprint('http://127.0.0.1:4010', asked, [fileOf(), url])],
    ['prompt', fingerprint(origin, { ...asked, prompt: 'on white ' }, [fileOf(), url])],
    ['size', fingerprint(origin, { ...asked, size: '4K' }, [fileOf(), url])],
    ['ratio', fingerprint(origin, { ...asked, ratio: '4:3' }, [fileOf(), url])],
    ['bytes', fingerprint(origin, asked, [fileOf({ sha256: 'ab' }), url])],
    ['URL', fingerprint(origin, asked, [fileOf(), { kind: 'url', url: `${url.url}?v=2` }])],
    ['order of pictures', fingerprint(origin, asked, [url, fileOf()])],
    ['number of pictures', fingerprint(origin, asked, [fileOf(), url, url])],
  ])('changes with the %s', (_what, other) => expect(other).not.toBe(paid));

  it('has neither route nor any name in it', () => {
    const row: Row = {
      ...asked,
      row: 9,
      line: 10,
      id: 'other',
      pictures: [],
      route: 2,
      output: 'other.jpg',
      columns: { sku: 'x' },
      selected: true,
    };
    const moved = fileOf({ path: '/elsewhere/b.jpg', mtimeMs: 99, ino: 8, bytes: 10 });
    expect(fingerprint(origin, row, [moved, url])).toBe(paid);
  });

  it('is equal for two requests just where what is paid for is equal', () => {
    const few = fc.constantFrom('a', 'b');
    const source = fc.oneof(
      fc.record({ kind: fc.constant('url' as const), url: few }),
      fc.record({ sha256: few, path: few, bytes: fc.nat(1), mtimeMs: fc.nat(1), ino: fc.nat(1) }).map(fileOf),
    );
    const request = fc.record({
      origin: few,
      prompt: few,
      size: few,
      ratio: fc.constantFrom('1:1' as const, '4:3' as const),
      sources: fc.array(source, { maxLength: 2 }),
    });
    type Request = { origin: string; prompt: string; size: string; ratio: Row['ratio']; sources: Source[] };
    const of = ({ origin, sources, ...row }: Request): string => fingerprint(origin, row, sources);
    const contentOf = (source: Source): string[] =>
      source.kind === 'url' ? ['url', source.url] : ['bytes', source.sha256];
    const paidFor = (request: Request): unknown => ({ ...request, sources: request.sources.map(contentOf) });
    const isSame = (a: Request, b: Request): boolean =>
      JSON.stringify(paidFor(a)) === JSON.stringify(paidFor(b));
    fc.assert(fc.property(request, request, (a, b) => (of(a) === of(b)) === isSame(a, b)));
    // Of equal ones there are few among any two.
    fc.assert(
      fc.property(request, fc.nat(9), (a, other) => {
        const moved = a.sources.map((source) =>
          source.kind === 'url' ? source : { ...source, path: `/${other}`, ino: other, mtimeMs: other },
        );
        return of(a) === of({ ...a, sources: moved });
      }),
    );
  });

  it('tells requests apart wherever their texts meet', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 6 });
    fc.assert(
      fc.property(fc.array(text, { minLength: 4, maxLength: 4 }), fc.nat(3), ([a, b, c, d], cut) => {
        const of = (prompt: string, size: string) =>
          fingerprint(origin, { prompt, size, ratio: '1:1' }, [{ kind: 'url', url: `${c}${d}` }]);
        const joined = `${a}${b}`;
        const [left, right] = [joined.slice(0, cut), joined.slice(cut)];
        expect(of(a!, b!) === of(left, right)).toBe(a === left);
      }),
    );
  });
});

describe('knownSources', () => {
  const { sha256: _, ...facts } = fileOf() as Source & { kind: 'file' };
  const photo: Picture = facts;

  it('is what an earlier call saw of the very same files', () => {
    const calls = [callOf({ sources: [url, fileOf()] })];
    expect(knownSources([photo, url as Picture], calls)).toEqual([fileOf(), url]);
    expect(knownSources([url as Picture], [])).toEqual([url]);
  });

  it('is unknown where one file is new or has changed in any way', () => {
    expect(knownSources([photo], [])).toBeUndefined();
    expect(knownSources([url as Picture, photo], [])).toBeUndefined();
    for (const change of [{ path: '/b.jpg' }, { bytes: 10 }, { mtimeMs: 2 }, { ino: 8 }]) {
      expect(knownSources([photo, photo], [callOf({ sources: [fileOf(change)] })])).toBeUndefined();
    }
  });

  it('goes by the latest call where a file was seen twice', () => {
    const calls = [
      callOf({ sources: [fileOf()] }),
      callOf({ n: 2, sources: [fileOf({ sha256: 'bb', bytes: 9 })] }),
    ];
    expect(knownSources([photo], calls)).toEqual([fileOf({ sha256: 'bb' })]);
  });
});
