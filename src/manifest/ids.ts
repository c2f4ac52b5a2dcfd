/** A row's id as far as the table tells it. */
export interface IdSource {
  /** The id's cell, trimmed; empty where there is none. */
  given: string;
  /** The picture's cell. */
  image: string;
}

const longestMade = 200;

/** Ids for all rows: the given ones, else names of pictures, made unique with -2, -3 … */
export function giveIds(rows: IdSource[]): string[] {
  const taken = new Set(rows.map(({ given }) => given));
  const counts = new Map<string, number>();
  return rows.map(({ given, image }, at) => {
    if (given !== '') return given;
    const base = pictureName(image) || `row-${at + 1}`;
    let count = counts.get(base) ?? 1;
    let id = base;
    while (taken.has(id)) id = `${base}-${++count}`;
    counts.set(base, count);
    taken.add(id);
    return id;
  });
}

/** The first picture's file name without its extension; empty for pictures without a name. */
function pictureName(cell: string): string {
  const first = cell.split('|', 1)[0]?.trim() ?? '';
  if (/^data:/i.test(first)) return '';
  const isUrl = /^[a-z][a-z0-9+.-]*:\/\//i.test(first) && URL.canParse(first);
  const path = isUrl ? decoded(new URL(first).pathname) : first;
  const name = path.split(/[/\\]/).findLast((part) => part !== '') ?? '';
  const stem = name.replace(/(?<=.)\.[^.]*$/, '').replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '_');
  return Array.from(stem.trim()).slice(0, longestMade).join('');
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** Why a given id can't be used; undefined where it can. */
export function idFlaw(id: string): string | undefined {
  if (/[\p{Cc}\p{Zl}\p{Zp}]/u.test(id)) return 'the id holds a line break or a control character';
  return id.length > 300 ? `the id has ${id.length} characters, more than 300` : undefined;
}
