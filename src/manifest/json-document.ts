import { documentParts, noRowsPart, partFlaw, type Document } from './document.ts';
import { JsonFault, readItems, readObject, type Member } from './json-text.ts';
import type { ObjectRow } from './objects.ts';
import { problemAt, type Flaw, type Problem } from './problem.ts';

/** A JSON document of rows: a list of objects, or an object that holds such a list. @returns what is wrong with it as a whole */
export function readJsonDocument(text: string): Document | Problem | undefined {
  if (text.trim() === '') return undefined;
  const lineAt = createLineCounter(text);
  try {
    const { is, parts } = readItems(text);
    if (is === 'list') return { rows: rowsOf(parts, lineAt), defaults: [], presets: new Map() };
    for (const { name, at } of parts) {
      const flaw = partFlaw(name);
      if (flaw) return problemAt({ line: lineAt(at), column: name }, flaw);
    }
    const [rows, defaults, presets] = documentParts.map((part) => parts.find(({ name }) => name === part));
    const list = rows && readItems(rows.text);
    if (!rows || list?.is !== 'list') return problemAt({ line: lineAt(rows?.at ?? 0) }, noRowsPart);
    const shift = (members: Member[], by: Member): Member[] =>
      members.map((member) => ({ ...member, at: member.at + by.at }));
    return {
      rows: rowsOf(shift(list.parts, rows), lineAt),
      defaults: defaults ? readObject(defaults.text) : [],
      presets: new Map(
        (presets ? readObject(presets.text) : []).map(({ name, text }) => [name, readObject(text)]),
      ),
    };
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error;
    return problemAt(
      { line: lineAt(error.at) },
      { problem: `the document is no JSON that reshoot reads: ${error.message}`, remedy },
    );
  }
}

const remedy = 'mend it there; jq . shows whether it is JSON';

function rowsOf(items: Member[], lineAt: (offset: number) => number): ObjectRow[] {
  return items.map(({ text, at }) => {
    const line = lineAt(at);
    if (!text.startsWith('{')) return { line, flaw: problemAt({ line, value: text }, noObject) };
    return { line, members: readObject(text) };
  });
}

export const noObject: Flaw = {
  problem: 'the row is no object',
  remedy: 'write its values with their names, such as {"image": "a.jpg"}',
};

/** The line of an offset; asked in ascending order it reads the text once. */
function createLineCounter(text: string): (offset: number) => number {
  let [line, from] = [1, 0];
  return (offset) => {
    if (offset < from) [line, from] = [1, 0];
    for (let at = text.indexOf('\n', from); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) {
      line++;
      from = at + 1;
    }
    return line;
  };
}
