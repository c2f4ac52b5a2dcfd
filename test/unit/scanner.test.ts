import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createScanner, type ScanResult } from '../../src/api/scanner.ts';

interface Scanned extends ScanResult {
  bytes: Buffer;
}

/** Pushes the body in chunks of these sizes, used in turn. */
function scan(body: Buffer | string, sizes: number[] = [body.length || 1]): Scanned {
  const text = Buffer.from(body);
  const blocks: Buffer[] = [];
  const scanner = createScanner((bytes) => blocks.push(Buffer.from(bytes)));
  for (let at = 0, turn = 0; at < text.length; turn += 1) {
    const end = at + (sizes[turn % sizes.length] ?? 1);
    // A copy that is wiped behind the scanner's back, as a socket's buffer is.
    const chunk = Buffer.from(text.subarray(at, end));
    scanner.push(chunk);
    chunk.fill(0x22);
    at = end;
  }
  return { ...scanner.end(), bytes: Buffer.concat(blocks) };
}

/** The first string under a key `b64_json`, in the document's order. */
function firstPicture(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [key, inner] of Object.entries(value)) {
    const isPicture = key === 'b64_json' && !Array.isArray(value) && typeof inner === 'string';
    const found: string | undefined = isPicture ? inner : firstPicture(inner);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What `JSON.parse` and `Buffer.from` make of a body that is JSON. */
function oracle(body: string): { picture: ScanResult['picture']; bytes?: Buffer } {
  const value = firstPicture(JSON.parse(body));
  const text = value?.replace(/^data:[^,]*;base64,/i, '').replaceAll(/[ \t\r\n]/g, '') ?? '';
  if (text === '') return { picture: 'none' };
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text))
    return { picture: 'damaged' };
  return { picture: 'whole', bytes: Buffer.from(text, 'base64') };
}

function expectLikeOracle(body: string, sizes: number[]): void {
  const { picture, bytes } = oracle(body);
  const scanned = scan(body, sizes);
  expect(scanned.picture).toBe(picture);
  expect(scanned.complete).toBe(true);
  if (bytes) expect(scanned.bytes.equals(bytes)).toBe(true);
}

const sizes = fc.array(fc.integer({ min: 1, max: 80 }), { minLength: 1, maxLength: 6 });
const base64 = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('base64'));
const wrapped = fc
  .tuple(base64, fc.constantFrom('\n', '\r\n', ' ', '\t'), fc.integer({ min: 1, max: 76 }))
  .map(([text, gap, width]) => text.replaceAll(new RegExp(`.{${width}}`, 'g'), `$&${gap}`));
const prefixed = fc
  .tuple(fc.constantFrom('data:image/png;base64,', 'DATA:;base64,', 'data:image/jpeg;x=1;base64,'), base64)
  .map((parts) => parts.join(''));
const odd = fc.constantFrom(
  '',
  'A',
  'AA',
  'AAA',
  'AA==',
  'A===',
  '====',
  'AA=A',
  'AAAA=',
  'AA==AAAA',
  'A-_A',
);
const foreign = fc.constantFrom(
  'data:,AAAA',
  'data:image/png;base64',
  'AAAAé===',
  'AA\u0000A',
  'AAA\u3000',
  '{"',
);
const pictureValue = fc.oneof(base64, wrapped, prefixed, odd, foreign, fc.string(), fc.constant(null));
const trap = fc.constantFrom(
  '"b64_json":"QUJD"',
  'b64_json',
  '\\"b64_json\\":',
  'data',
  'xb64_json',
  'b64_json ',
);
const key = fc.oneof(fc.constantFrom('b64_json', 'data', 'b64_jso', 'b64_json2', ''), trap, fc.string());
const leaf = fc.oneof(pictureValue, trap, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean());
const { document } = fc.letrec<{ value: unknown; document: unknown }>((tie) => ({
  value: fc.oneof({ depthSize: 'small', withCrossShrink: true }, leaf, tie('document')),
  document: fc.oneof(
    fc.dictionary(key, tie('value'), { maxKeys: 4, noNullPrototype: true }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.record({ created: fc.nat(), data: fc.tuple(fc.record({ b64_json: pictureValue })) }),
  ),
}));

/** The same JSON written differently: spaces, `\/`, and any character of a string as `\u`. */
function rewrite(value: unknown, indent: number, slashes: boolean, everyNth: number): string {
  const text = JSON.stringify(value, null, indent);
  const escaped = slashes ? text.replaceAll('/', '\\/') : text;
  let index = 0;
  return escaped.replaceAll(/\\.|[A-Za-z0-9_+=,;:](?=[^"\\]*")/g, (found) => {
    index += 1;
    const mayChange = found.length === 1 && everyNth > 0 && index % everyNth === 0;
    return mayChange ? `\\u${found.charCodeAt(0).toString(16).padStart(4, '0')}` : found;
  });
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

const body = fc
  .tuple(document, fc.constantFrom(0, 1, 3), fc.boolean(), fc.constantFrom(0, 0, 1, 3, 17))
  .map(([value, indent, slashes, everyNth]) => {
    const text = rewrite(value, indent, slashes, everyNth);
    return isJson(text) ? text : JSON.stringify(value);
  });

describe('scanner', () => {
  it('agrees with JSON.parse and Buffer.from on any document, however it is chopped', () => {
    fc.assert(fc.property(body, sizes, expectLikeOracle), { numRuns: 4000 });
  });

  it('never takes a body that was cut anywhere for a complete one', () => {
    fc.assert(
      fc.property(body, sizes, fc.double({ min: 0, max: 0.999, noNaN: true }), (text, chunks, share) => {
        const whole = Buffer.from(text);
        const cut = scan(whole.subarray(0, Math.floor(whole.length * share)), chunks);
        expect(cut.complete).toBe(false);
        if (cut.picture === 'whole') expect(cut.bytes.equals(scan(text).bytes)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });

  it('reads any bytes without throwing, and agrees where they still are JSON', () => {
    const change = fc.tuple(fc.nat(), fc.constantFrom('"', '\\', ':', '{', ']', ',', '=', 'A', ' '));
    fc.assert(
      fc.property(body, sizes, fc.array(change, { maxLength: 3 }), (text, chunks, changes) => {
        const mutant = Buffer.from(text);
        for (const [at, by] of changes) mutant.write(by, at % mutant.length);
        const readable = mutant.toString();
        scan(mutant, chunks);
        // Of a key that stands twice JSON.parse takes the last.
        const mayRepeatKey = /b64.*b64|\\u/s.test(readable);
        if (isJson(readable) && /^\s*[{[]/.test(readable) && !mayRepeatKey)
          expectLikeOracle(readable, chunks);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([0, 1, 2, 3, 4])('decodes across blocks: 64 KB of base64 and %i bytes more', (more) => {
    for (const length of [48 * 1024 - 2, 48 * 1024, 96 * 1024 - 1]) {
      const bytes = Buffer.alloc(length + more, 'reshoot');
      const scanned = scan(JSON.stringify({ b64_json: bytes.toString('base64') }), [1460, 65_536]);
      expect(scanned.picture).toBe('whole');
      expect(scanned.bytes.equals(bytes)).toBe(true);
    }
  });

  it.each(['-', '_', '=', '!', 'é', '"x'])('finds "%s" in the middle of a large picture', (foreignText) => {
    const good = Buffer.alloc(300_000, 7).toString('base64');
    const bad = `${good.slice(0, 200_001)}${foreignText}${good.slice(200_002)}`;
    expect(scan(JSON.stringify({ b64_json: bad }), [4096]).picture).toBe('damaged');
  });

  it('passes over null and values that are no strings, and takes the first string', () => {
    const text =
      '{"b64_json":null,"a":[{"b64_json":7},{"b64_json":{"x":"QQ=="}},{"b64_json":"QUJD"},{"b64_json":"eA=="}]}';
    expect(scan(text, [1]).bytes.toString()).toBe('ABC');
  });

  it('keeps 4 KB of what is not the picture', () => {
    const picture = 'QUJD'.repeat(30_000);
    const scanned = scan(
      `{"code":200,"data":[{"b64_json":"${picture}"}],"tail":"${'x'.repeat(9000)}"}`,
      [777],
    );
    expect(scanned.head).toMatch(/^\{"code":200,"data":\[\{"b64_json":""\}\],"tail":"x+$/);
    expect(scanned.head).toHaveLength(4096);
  });

  it.each([
    ['', 'none', false],
    ['<html>"b64_json":"QUJD"</html>', 'none', false],
    ['null', 'none', false],
    ['{}', 'none', true],
    ['{} trailing', 'none', false],
    ['{"b64_json":"QUJD"}{}', 'whole', false],
    ['{"b64_json":"QUJD', 'cut', false],
    ['{"b64_json":"QU!J"}', 'damaged', true],
  ] as const)('%s', (text, picture, complete) => {
    expect(scan(text)).toMatchObject({ picture, complete });
  });
});
