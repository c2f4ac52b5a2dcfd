/** Segments that say how the pixels are to be read: JFIF, the colour profile, Adobe's colour transform. */
const kept: [marker: number, start: string][] = [
  [0xe0, ''],
  [0xe2, 'ICC_PROFILE\0'],
  [0xee, 'Adobe'],
];

/**
 * A JPEG without EXIF, XMP, IPTC, comments and whatever else its segments hold beside the picture, whose coded pixels
 * stay as they are. Returned as it is where its segments can't be followed.
 */
export function withoutMetadata(jpeg: Buffer): Buffer {
  const parts = [jpeg.subarray(0, 2)];
  for (let at = 2; at + 4 <= jpeg.length;) {
    const marker = jpeg[at + 1] ?? 0;
    if (jpeg[at] !== 0xff) return jpeg;
    // A marker may have any number of fill bytes before it.
    if (marker === 0xff) {
      at += 1;
      continue;
    }
    // The coded pixels begin: what follows is the picture.
    if (marker === 0xda) return Buffer.concat([...parts, jpeg.subarray(at)]);
    const end = at + 2 + jpeg.readUInt16BE(at + 2);
    if (isPicture(marker, jpeg.subarray(at + 4, end))) parts.push(jpeg.subarray(at, end));
    at = end;
  }
  return jpeg;
}

function isPicture(marker: number, content: Buffer): boolean {
  const isApplication = marker >= 0xe0 && marker <= 0xef;
  if (!isApplication) return marker !== 0xfe;
  return kept.some(
    ([kind, start]) => kind === marker && content.toString('latin1', 0, start.length) === start,
  );
}
