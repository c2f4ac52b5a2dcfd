import { mostRecord } from './bounds.ts';
import { JsonFault, readObject } from './json-text.ts';
import { readLines, type NumberedLine } from './lines.ts';
import { openObjects, type ObjectRow } from './objects.ts';
import { problemAt, type Flaw } from './problem.ts';
import { refusedTable, type Table } from './table.ts';
import type { Text } from './text.ts';

/**
 * A table of JSON objects, one a line.
 * @param map as `--map` says
 * @returns undefined where there is nothing in it
 */
export async function openJsonLines(text: Text, map: Record<string, string>): Promise<Table | undefined> {
  const first = await firstLine(text);
  if (first && /^\s*(\[|\{\s*$)/.test(first.text)) return refusedTable(problemAt(first, oneDocument));
  async function* rows(): AsyncGenerator<ObjectRow[]> {
    for await (const lines of readLines(text.parts)) yield lines.map(readLine);
  }
  return openObjects(rows, map);
}

async function firstLine({ parts }: Text): Promise<NumberedLine | undefined> {
  for await (const [first] of readLines(parts)) if (first) return first;
  return undefined;
}

const oneDocument: Flaw = {
  problem: 'this is one JSON document, not an object a line',
  remedy: 'call the file .json, or give --format json',
};

function readLine({ line, text }: NumberedLine): ObjectRow {
  if (text.length > mostRecord) return { line, flaw: problemAt({ line }, longLine) };
  try {
    return { line, members: readObject(text) };
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error;
    const problem = `the line is no JSON object: ${error.message} at character ${error.at + 1}`;
    return {
      line,
      flaw: problemAt({ line, value: text.slice(error.at, error.at + 40) }, { problem, remedy }),
    };
  }
}

const longLine: Flaw = {
  problem: 'the line has more than 50 MB',
  remedy: 'end it where the row ends, or save its pictures as files and write their paths',
};

const remedy = 'write one whole object on the line, such as {"id": "A1", "image": "a1.jpg", "prompt": "…"}';
