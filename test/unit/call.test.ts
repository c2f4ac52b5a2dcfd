import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { callId, callSchema, codeOf, isAttempt, keyOf } from '../../src/records/call.ts';
import { callOf, endings, picture } from '../fixtures/call.ts';

describe('a call on record', () => {
  it('is read as it was written, however it ended and whatever it sent', () => {
    const file = { kind: 'file', path: '/a.jpg', bytes: 9, mtimeMs: 1.5, ino: 7, sha256: 'aa' } as const;
    const said = { error_message: 'oops', http_status: 500 };
    const calls = [
      callOf(),
      callOf({ route: 2, on_unknown: 'hold', sources: [file, ...callOf().sources] }),
      ...Object.values(endings).map((closed) => callOf({ closed })),
      callOf({ closed: { ...endings.server_error, ...said } }),
    ];
    for (const call of calls) expect(callSchema.parse(JSON.parse(JSON.stringify(call)))).toEqual(call);
  });

  const closed = endings.picture;
  it.each([
    [{ v: 2 }],
    [{ n: 0 }],
    [{ n: 1.5 }],
    [{ route: 3 }],
    [{ ratio: '2:1' }],
    [{ on_unknown: 'wait' }],
    [{ sources: [{ kind: 'ftp', url: 'ftp://a' }] }],
    [{ sources: [{ kind: 'url' }] }],
    [{ sources: [{ kind: 'file', path: '/a.jpg' }] }],
    [{ closed: { ...closed, charged: 'perhaps' } }],
    [{ closed: { ...closed, outcome: 'lost' } }],
    [{ closed: { ...closed, error_code: 'unheard_of' } }],
    [{ closed: { ...closed, picture: { ...picture, width: '1024' } } }],
  ])('with %j is not believed', (flaw) => {
    expect(callSchema.safeParse({ ...callOf(), ...flaw }).success).toBe(false);
  });

  it('that closed without picture and code is a fault of ours', () => {
    const { error_code: _, ...bare } = endings.server_error;
    expect(codeOf(callOf({ closed: bare }))).toBe('bug');
    expect(isAttempt(callOf({ closed: bare }))).toBe(true);
  });
});

describe('the key of a row', () => {
  const id = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('a', 'A', '/', '-', '1') }),
  );

  it('is a plain short name of its own for any id, the same in every version', () => {
    // Another key would look for every record elsewhere, and pay again.
    expect(keyOf('chair')).toBe('3d7eb3d3dab17ee509a6911e0feb928eb46e956a');
    fc.assert(fc.property(id, (id) => /^[0-9a-f]{40}$/.test(keyOf(id))));
    fc.assert(fc.property(id, id, (a, b) => (keyOf(a) === keyOf(b)) === (a === b)));
  });

  it('with the number names a call, which no other call has', () => {
    const call = fc.record({ id, n: fc.integer({ min: 1, max: 200 }) });
    fc.assert(
      fc.property(call, call, (a, b) => (callId(a) === callId(b)) === (a.id === b.id && a.n === b.n)),
    );
    expect(callId(callOf({ n: 12 }))).toBe(`${keyOf('chair')}-12`);
  });
});
