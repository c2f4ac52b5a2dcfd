import { describe, expect, it } from 'vitest';
import { throttleKeys } from '../../src/throttle/keys.ts';

describe("the throttle's keys", () => {
  it('keep their names, so that processes of two versions share one limit, and one hash tag', () => {
    const keys = throttleKeys('reshoot', 'https://api.spiderhubs.com');
    expect([
      keys.log('main'),
      keys.ends('main'),
      keys.state('main'),
      keys.ledger('r1'),
      keys.open('r1'),
    ]).toEqual([
      '{reshoot}:account:2a69041c:main:log',
      '{reshoot}:account:2a69041c:main:ends',
      '{reshoot}:account:2a69041c:main:state',
      '{reshoot}:run:r1:ledger',
      '{reshoot}:run:r1:open',
    ]);
  });
});
