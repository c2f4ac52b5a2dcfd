import { expect, it } from 'vitest';
import { flawsOf } from '../../src/batch/sound-redis.ts';

const sound = {
  version: 'redis 7.0.15',
  appendOnly: true,
  evictionPolicy: 'noeviction',
  maxMemory: 0,
  clockAheadMs: 1999,
};

it('finds nothing wrong with a sound Redis, nor with one that says nothing of itself', () => {
  expect(flawsOf(sound)).toEqual([]);
  expect(flawsOf({ ...sound, appendOnly: undefined, evictionPolicy: undefined })).toEqual([]);
});

it.each([
  [{ appendOnly: false }, 'worry', 'set appendonly yes'],
  [{ evictionPolicy: 'allkeys-lru' }, 'worry', 'set maxmemory-policy noeviction'],
  [{ evictionPolicy: 'volatile-ttl', maxMemory: 1e9 }, 'bad', 'maxmemory-policy is volatile-ttl'],
  [{ clockAheadMs: 2001 }, 'worry', '2.0 s ahead of'],
  [{ clockAheadMs: -30_100 }, 'bad', '30.1 s behind'],
])('%o is %s', (bent, is, says) => {
  expect(flawsOf({ ...sound, ...bent })).toEqual([{ is, says: expect.stringContaining(says) }]);
});
