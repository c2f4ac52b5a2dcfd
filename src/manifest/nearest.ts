import { printable } from '../cells.ts';

/** Beyond these bounds a hint would cost more time than it saves. */
export const mostCandidates = 20_000;
const mostLetters = 48;

/** The candidates that a person may have meant by `word`, best first, at most three. */
function nearest(word: string, candidates: Iterable<string>): string[] {
  const wanted = plain(word);
  const found: { name: string; far: number }[] = [];
  let seen = 0;
  for (const name of candidates) {
    if (++seen > mostCandidates) break;
    const far = farness(wanted, plain(name));
    if (far <= Math.max(1, wanted.length / 3)) found.push({ name, far });
  }
  return found
    .toSorted((a, b) => a.far - b.far)
    .slice(0, 3)
    .map(({ name }) => name);
}

/** `did you mean "SKU" or "Sku 2"?`, or nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const names = nearest(word, candidates).map((name) => `"${printable(name, 80)}"`);
  return names.length > 0 ? `did you mean ${names.join(' or ')}?` : '';
}

const plain = (word: string): string => word.normalize('NFC').toLowerCase().trim().slice(0, mostLetters);

function farness(a: string, b: string): number {
  if (a === b) return 0;
  if (a.length > 2 && b.length > 2 && (a.includes(b) || b.includes(a))) return 1;
  return Math.abs(a.length - b.length) > a.length / 3 + 1 ? Infinity : editDistance(a, b);
}

/** Levenshtein's, one line of the table at a time. */
function editDistance(a: string, b: string): number {
  let above = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const line = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = (above[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      line.push(Math.min(swap, (above[j] ?? 0) + 1, (line[j - 1] ?? 0) + 1));
    }
    above = line;
  }
  return above[b.length] ?? Infinity;
}
