import { describe, expect, it } from 'vitest';
import { outcomeOf, type Evidence } from '../../src/batch/outcome.ts';
import type { Call } from '../../src/records/call.ts';
import { fingerprint } from '../../src/records/fingerprint.ts';
import { callOf, endings } from '../fixtures/call.ts';

const row = {
  row: 1,
  line: 2,
  id: 'a',
  pictures: [],
  prompt: 'on white',
  size: '1K',
  ratio: '1:1',
  route: 1,
  output: 'a.{ext}',
  columns: {},
  selected: false,
} satisfies Evidence['row'];

const evidence = (changes: Partial<Evidence> = {}): Evidence => ({
  row,
  calls: [],
  note: undefined,
  payer: undefined,
  homeless: false,
  rules: { run: 'r2', maxAttempts: 4, force: false },
  origin: 'http://127.0.0.1',
  stop: { code: 8, reason: 'the cap of 3 credits is reached' },
  ...changes,
});

describe('outcomeOf a row without a picture', () => {
  it('says that it was not chosen, whatever stopped the run', () => {
    const message = 'not chosen for this run';
    expect(outcomeOf(evidence())).toMatchObject({ status: 'not_attempted', errorMessage: message });
    expect(outcomeOf(evidence({ stop: undefined }))).toMatchObject({ errorMessage: message });
  });

  it('says what stopped the run, where it was chosen', () => {
    const chosen = evidence({ row: { ...row, selected: true } });
    expect(outcomeOf(chosen)).toMatchObject({
      status: 'not_attempted',
      errorMessage: 'the cap of 3 credits is reached',
    });
  });

  it('says why its call was not sent, where nothing stopped the run', () => {
    const closed = { ...endings.not_sent, error_message: 'not_sent: its slot grew too old' };
    const calls = [callOf({ run: 'r1', closed: endings.timeout }), callOf({ run: 'r2', n: 2, closed })];
    const chosen = { row: { ...row, selected: true }, calls };
    expect(outcomeOf(evidence({ ...chosen, stop: undefined }))).toMatchObject({
      status: 'not_attempted',
      errorMessage: 'not_sent: its slot grew too old',
    });
    expect(outcomeOf(evidence(chosen))).toMatchObject({ errorMessage: 'the cap of 3 credits is reached' });
  });

  it('keeps a failure of its own, though it was not chosen now', () => {
    const failed = callOf({ closed: { ...endings.server_error, error_message: 'said so' } });
    expect(outcomeOf(evidence({ calls: [failed] }))).toMatchObject({
      status: 'failed',
      errorCode: 'server_error',
      errorMessage: 'said so',
    });
  });
});

it('a row that was done before stands where its picture was put, not where the plan would have put it', () => {
  const sources: Call['sources'] = [];
  const done = callOf({
    run: 'r1',
    origin: 'http://127.0.0.1',
    sources,
    fingerprint: fingerprint('http://127.0.0.1', row, sources),
    closed: endings.picture,
  });
  const renamed = { ...row, selected: true, output: 'elsewhere/a.{ext}' };
  expect(outcomeOf(evidence({ row: renamed, calls: [done] }))).toMatchObject({
    status: 'skipped',
    output: endings.picture.picture?.output,
  });
});
