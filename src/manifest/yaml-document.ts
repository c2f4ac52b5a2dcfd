import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type YAMLMap } from 'yaml';
import { documentParts, noRowsPart, partFlaw, type Document } from './document.ts';
import type { Member } from './json-text.ts';
import { noObject } from './json-document.ts';
import type { ObjectRow } from './objects.ts';
import { problemAt, type Problem } from './problem.ts';

/** So many copies may aliases make of one value: a document of a kilobyte could stand for a gigabyte. */
const maxAliasCount = 100;

/** A YAML document of rows, likewise. Plain values are texts as they are written: 00123 and 1E5 stay so. */
export function readYamlDocument(text: string): Document | Problem | undefined {
  const lines = new LineCounter();
  const parsed = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineOf = (node: unknown): number => {
    const range = (node as { range?: [number, number, number] | null } | null)?.range;
    return lines.linePos(range?.[0] ?? 0).line;
  };
  const [error] = parsed.errors;
  if (error) return refusal(lines.linePos(error.pos[0]).line, error.message);
  const { contents } = parsed;
  if (contents === null || (isScalar(contents) && contents.value === null)) return undefined;
  try {
    if (isSeq(contents)) return { rows: contents.items.map(rowOf), defaults: [], presets: new Map() };
    if (!isMap(contents)) return problemAt({ line: 1 }, noRowsPart);
    const parts = new Map(contents.items.map(({ key, value }) => [nameOf(key), value]));
    for (const { key } of contents.items) {
      const flaw = partFlaw(nameOf(key));
      if (flaw) return problemAt({ line: lineOf(key), column: nameOf(key) }, flaw);
    }
    const [rows, defaults, presets] = documentParts.map((part) => resolved(parts.get(part)));
    if (!isSeq(rows)) return problemAt({ line: rows ? lineOf(rows) : 1 }, noRowsPart);
    return {
      rows: rows.items.map(rowOf),
      defaults: isMap(defaults) ? membersOf(defaults) : [],
      presets: new Map(
        (isMap(presets) ? presets.items : []).map(({ key, value }) => {
          const preset = resolved(value);
          return [nameOf(key), isMap(preset) ? membersOf(preset) : []];
        }),
      ),
    };
  } catch (error) {
    // What the parser throws at aliases that would make too much of a document, or lead in a circle.
    if (error instanceof ReferenceError || error instanceof RangeError) return refusal(1, error.message);
    throw error;
  }

  function resolved(node: unknown): unknown {
    return isAlias(node) ? node.resolve(parsed) : node;
  }

  function rowOf(item: unknown): ObjectRow {
    const line = lineOf(item);
    const node = resolved(item);
    if (isMap(node)) return { line, members: membersOf(node) };
    return { line, flaw: problemAt({ line, value: jsonOf(node) }, noObject) };
  }

  function membersOf(map: YAMLMap): Member[] {
    return map.items.map(({ key, value }) => ({ name: nameOf(key), text: jsonOf(resolved(value)), at: 0 }));
  }

  /** As JSON Lines would have it, so that both are read alike. */
  function jsonOf(node: unknown): string {
    if (isScalar(node)) {
      if (node.value === null) return 'null';
      // Only a plain one may be no text, and of that it is known how it is written.
      return JSON.stringify(
        typeof node.value === 'string' && node.type !== 'PLAIN' ? node.value : node.source,
      );
    }
    if (isMap(node) || isSeq(node)) return JSON.stringify(node.toJS(parsed, { maxAliasCount }));
    return 'null';
  }
}

const nameOf = (key: unknown): string => (isScalar(key) ? (key.source ?? String(key.value)) : String(key));

const refusal = (line: number, problem: string): Problem =>
  problemAt(
    { line },
    { problem: `the document is no YAML that reshoot reads: ${problem}`, remedy: 'mend it there' },
  );
