import type { Picture } from '../../src/model.ts';

/** Of the pictures by their names: two are the same. */
const contents: Record<string, string> = { a: 'red', b: 'green', c: 'red' };

export const pictureAt = (path: string): Buffer => Buffer.from(contents[path.slice(-1)] ?? '');

export function pictureOf(name: string): Picture {
  return name === 'u' ? { kind: 'url', url: 'https://pictures.invalid/u' } : fileOf(name);
}

export function fileOf(name: string): Extract<Picture, { kind: 'file' }> {
  const bytes = contents[name]?.length ?? 0;
  return { kind: 'file', path: `/pictures/${name}`, bytes, mtimeMs: 1000, ino: name.charCodeAt(0) };
}
