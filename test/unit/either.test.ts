import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { withEither } from '../../src/batch/either.ts';

it('work is stopped by either signal, with its reason', async () => {
  for (const which of [0, 1]) {
    const [brief, lasting] = [new AbortController(), new AbortController()];
    const reason = await withEither(brief.signal, lasting.signal, (signal) => {
      [brief, lasting][which]?.abort('enough');
      return Promise.resolve(signal.reason);
    });
    expect(reason).toBe('enough');
  }
});

it('work after the stop finds its signal aborted', async () => {
  const stopped = AbortSignal.abort('before');
  expect(await withEither(new AbortController().signal, stopped, async ({ reason }) => reason)).toBe(
    'before',
  );
});

it('nothing stays behind on a signal that outlives the work, however that ends', async () => {
  const lasting = new AbortController().signal;
  await withEither(new AbortController().signal, lasting, async () => 'done');
  await withEither(new AbortController().signal, lasting, () => Promise.reject(new Error('failed'))).catch(
    () => 'failed',
  );
  expect(getEventListeners(lasting, 'abort')).toHaveLength(0);
  // What AbortSignal.any would leave there, as the inspector sees it.
  const symbols = Object.getOwnPropertySymbols(lasting).filter((symbol) =>
    String(symbol).includes('Dependant'),
  );
  expect(symbols.map((symbol) => Reflect.get(lasting, symbol)?.size ?? 0)).toEqual(symbols.map(() => 0));
});
