import { PassThrough } from 'node:stream';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/config.ts';
import { createLog, type Log } from '../../src/log.ts';

const canary = 'sk_live_"quoted\\canary+/=$&';

/** What a log writes while it is used so. */
function written(use: (log: Log) => void, level = 'trace'): string {
  const to = new PassThrough();
  use(createLog(level, [new Secret(canary)], to));
  return (to.read() as Buffer | null)?.toString('utf8') ?? '';
}

describe('createLog', () => {
  it('writes a line of JSON with level, time, process and what it is told', () => {
    const lines = written((log) => {
      log.info({ id: 'chair', ms: 7 }, 'call done');
      log.debug('next');
    }).split('\n');
    expect(lines.map((line) => line && (JSON.parse(line) as object))).toEqual([
      {
        level: 30,
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        pid: process.pid,
        id: 'chair',
        ms: 7,
        msg: 'call done',
      },
      expect.objectContaining({ msg: 'next' }),
      '',
    ]);
  });

  it('is silent below its level', () => {
    expect(written((log) => log.info('x'), 'warn')).toBe('');
    expect(written((log) => log.fatal('x'), 'silent')).toBe('');
  });

  it('holds no key, wherever a caller puts it', () => {
    const text = written((log) => {
      log.warn(`Authorization: Bearer ${canary}`);
      log.warn({ headers: { authorization: `Bearer ${canary}` }, [canary]: 1 }, 'sent');
      log.error(new Error(`connect failed for ${canary}`, { cause: new Error(canary) }));
      log.child({ key: canary }).info('child %s', canary);
      log.info({ key: new Secret(canary) }, 'account');
    });
    expect(text).not.toContain(canary);
    expect(text).not.toContain('canary');
    expect(text).toContain('[redacted]');
    for (const line of text.trim().split('\n')) expect(() => JSON.parse(line)).not.toThrow();
  });

  it('holds no picture', () => {
    const picture = Buffer.alloc(3000, 'a picture').toString('base64');
    const text = written((log) => {
      log.error({ body: { b64_json: picture } }, `data:image/png;base64,${picture}`);
      log.info({ sha256: 'ab'.repeat(32) }, 'kept');
    });
    expect(text).not.toContain(picture.slice(0, 100));
    expect(text).toContain('[4000 characters of base64]');
    expect(text).toContain('ab'.repeat(32));
  });

  it('holds no control or bidi character, nor more than a line an entry, and loses none either', () => {
    const risky = fc.constantFrom(
      '\u0000',
      '\n',
      '\r',
      '\u001b[31m',
      '\u007f',
      '\u0085',
      '\u009b2J',
      '\u2028',
    );
    const bidi = fc.constantFrom('\u061c', '\u200e', '\u200f', '\u202e', '\u2066', '\ufeff', '产品', 'é');
    const text = fc
      .array(fc.oneof(risky, bidi, fc.string()), { maxLength: 8 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(text, text, fc.jsonValue(), (message, name, value) => {
        const line = written((log) => log.info({ [`field ${name}`]: value, id: message }, message));
        expect(line.slice(0, -1)).not.toMatch(
          /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/,
        );
        expect(line.endsWith('\n')).toBe(true);
        expect(JSON.parse(line)).toMatchObject({ id: message });
      }),
    );
  });
});
