/** What a file is by its first bytes, whatever its name says. */
export interface FileType {
  /** As people call it: `JPEG`, `Excel file (.xls)` … */
  name: string;
  /** A picture that can be decoded, and so sent. */
  taken: boolean;
}

const brands: Record<string, string> = {
  avif: 'AVIF',
  avis: 'AVIF',
  heic: 'HEIC',
  heix: 'HEIC',
  hevc: 'HEIC',
  heim: 'HEIC',
  mif1: 'HEIC',
  msf1: 'HEIC',
};

/** Signatures as Latin-1, at the file's start. */
const signatures: [start: string, name: string, taken?: true][] = [
  ['\xFF\xD8\xFF', 'JPEG', true],
  ['\x89PNG\r\n\x1A\n', 'PNG', true],
  ['GIF8', 'GIF', true],
  ['II*\0', 'TIFF', true],
  ['MM\0*', 'TIFF', true],
  ['8BPS', 'Photoshop file'],
  ['\0\0\0\x0CjP  ', 'JPEG 2000'],
  ['\0\0\x01\0', 'icon'],
  ['%PDF-', 'PDF'],
  ['PK\x03\x04', 'spreadsheet (.xlsx) or zip archive'],
  ['\xD0\xCF\x11\xE0', 'Excel file (.xls)'],
  ['\x1F\x8B', 'gzip archive'],
];

/** The type that the first bytes (64 are enough) tell; undefined where they tell none. */
export function fileType(head: Uint8Array): FileType | undefined {
  const start = Buffer.from(head.subarray(0, 64)).toString('latin1');
  if (/^RIFF....WEBP/s.test(start)) return { name: 'WebP', taken: true };
  if (/^BM.{4}\0{4}/s.test(start)) return { name: 'BMP', taken: false };
  const brand = /^\0...ftyp(....)/s.exec(start)?.[1];
  // Where HEIC is decoded, who looks into it knows.
  if (brand) return { name: brands[brand] ?? 'film or other media file', taken: brand in brands };
  if (/^\s*(<!doctype html|<html)/i.test(start)) return { name: 'web page', taken: false };
  if (/^\s*<(svg|\?xml)/i.test(start)) return { name: 'SVG or XML file', taken: false };
  const known = signatures.find(([signature]) => start.startsWith(signature));
  return known && { name: known[1], taken: known[2] ?? false };
}
