import { describe, expect, it } from 'vitest';
import { maxPixels, needsOf, pixelFlaw, type Header } from '../../src/image/needs.ts';

const plain: Header = {
  mime: 'image/jpeg',
  ext: 'jpg',
  bytes: 8_000_000,
  width: 4000,
  height: 3000,
  orientation: undefined,
  hasAlpha: false,
  space: 'srgb',
  profile: undefined,
  hasMetadata: false,
  frames: 1,
};
const fit = { maxBytes: 8_000_000, maxSide: undefined };

describe('needsOf', () => {
  it('leaves a picture alone that the API takes as it is', () => {
    const asTheyAre: Partial<Header>[] = [
      {},
      { ext: 'png', hasAlpha: true },
      { ext: 'webp' },
      { orientation: 1 },
      { space: 'b-w' },
      { profile: 'sRGB IEC61966-2.1' },
      { profile: 'c2ci' },
    ];
    for (const header of asTheyAre) expect(needsOf({ ...plain, ...header }, fit)).toEqual([]);
  });

  it('names what has to be done to any other', () => {
    const others: [Partial<Header>, string][] = [
      [{ ext: 'tif' }, 'type'],
      [{ ext: 'gif' }, 'type'],
      [{ ext: 'webp', frames: 9 }, 'frame'],
      [{ orientation: 6 }, 'upright'],
      [{ space: 'cmyk' }, 'colours'],
      [{ space: 'labs' }, 'colours'],
      [{ profile: 'Display P3' }, 'colours'],
      [{ profile: '' }, 'colours'],
      [{ space: 'rgb16' }, 'depth'],
      [{ space: 'grey16' }, 'depth'],
      [{ hasMetadata: true }, 'metadata'],
      [{ bytes: 8_000_001 }, 'bytes'],
    ];
    for (const [header, need] of others) expect(needsOf({ ...plain, ...header }, fit)).toEqual([need]);
    expect(needsOf(plain, { ...fit, maxSide: 3999 })).toEqual(['side']);
    expect(needsOf(plain, { ...fit, maxSide: 4000 })).toEqual([]);
  });

  it('takes no more pixels than memory can be expected for', () => {
    expect(pixelFlaw({ width: maxPixels, height: 1 })).toBeUndefined();
    expect(pixelFlaw({ width: maxPixels, height: 2 })).toContain('120000000x2 pixels, more than 120 million');
  });
});
