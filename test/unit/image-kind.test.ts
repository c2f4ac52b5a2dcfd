import { describe, expect, it } from 'vitest';
import { describeContent, pictureKind } from '../../src/image/kind.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const bmp = Buffer.alloc(54);
bmp.write('BM');
bmp.writeUInt32LE(40, 14);

describe('pictureKind', () => {
  it.each([
    ['\xFF\xD8\xFF\xE0', 'image/jpeg', 'jpg'],
    ['\x89PNG\r\n\x1A\n\0\0', 'image/png', 'png'],
    ['RIFF\x10\0\0\0WEBPVP8 ', 'image/webp', 'webp'],
    ['GIF89a', 'image/gif', 'gif'],
    ['II*\0\x08', 'image/tiff', 'tif'],
    ['MM\0*\0', 'image/tiff', 'tif'],
    ['\0\0\0\x18ftypavif\0\0\0\0mif1miaf', 'image/avif', 'avif'],
    ['\0\0\0\x18ftypmif1\0\0\0\0avifmiaf', 'image/avif', 'avif'],
    ['\0\0\0\x14ftypheic\0\0\0\0mif1', 'image/heic', 'heic'],
    ['\0\0\0\x0CJXL \r\n\x87\n', 'image/jxl', 'jxl'],
  ])('%j is %s', (start, mime, ext) => {
    expect(pictureKind(bytes(start))).toEqual({ mime, ext });
  });

  it('knows a BMP by its header, not by two letters', () => {
    expect(pictureKind(bmp)).toEqual({ mime: 'image/bmp', ext: 'bmp' });
    expect(pictureKind(bytes('BMW 320, blue, sold out'))).toBeUndefined();
  });

  it.each([
    '',
    'R',
    'RIFF\x10\0\0\0WAVEfmt ',
    '\0\0\0\x14ftypisom\0\0\0\0mp42',
    '<html>',
    '\xFF\xD8',
    'ftyp',
  ])('%j is no picture', (start) => expect(pictureKind(bytes(start))).toBeUndefined());
});

describe('describeContent', () => {
  it.each([
    ['', 'empty'],
    [' \n<!DOCTYPE html><title>502</title>', 'HTML " \\u000a<!DOCTYPE html><title>502</title>"'],
    ['{"code":500}', 'text "{"code":500}"'],
    ['\0\x01\x02\x03\xFF', 'bytes 00010203ff'],
  ])('%j: %s', (start, said) => expect(describeContent(bytes(start))).toBe(said));

  it('takes text that is cut within a character for text', () => {
    expect(describeContent(Buffer.from('图'.repeat(40)).subarray(0, 80))).toMatch(/^text "图/);
  });
});
