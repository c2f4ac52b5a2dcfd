import { listed, type Columns } from './columns.ts';
import type { Ids } from './ids.ts';
import { nameSlots } from './names.ts';
import { didYouMean } from './nearest.ts';
import type { ManifestOptions } from './options.ts';
import { problemAt, type Problem } from './problem.ts';
import type { Table, TableRecord } from './table.ts';
import { findSlot, promptSlots } from './template.ts';

/** What is wrong with the manifest as a whole by its header, said once and not for every row. */
export function wholeProblems(table: Table, columns: Columns, options: ManifestOptions): Problem[] {
  return [
    ...missingColumns(table, columns, options),
    ...unknownSlots('--name', nameSlots(options.name), columns.header),
    ...unknownSlots('--prompt', promptSlots(options.prompt ?? ''), columns.header),
  ];
}

function missingColumns(
  { folder }: Table,
  { header, of }: Columns,
  { map, prompt }: ManifestOptions,
): Problem[] {
  const problems: Problem[] = [];
  const likely = (field: string): string => didYouMean(field, header) || `the columns are: ${listed(header)}`;
  if (of.image === undefined && !map['image']) {
    const remedy = `name it "image", or say which one it is with --map image="…"; ${likely('image')}`;
    problems.push({ problem: 'the table has no column of pictures', remedy });
  }
  if (of.prompt === undefined && !map['prompt'] && !prompt?.trim()) {
    problems.push(folder === undefined ? noPrompts : noPromptForFolder);
  }
  return problems;
}

const noPrompts: Problem = {
  problem: 'the table has no column of prompts, and there is no --prompt',
  remedy: 'give --prompt "…", add a column "prompt", or use --map prompt="…"',
};

const noPromptForFolder: Problem = {
  problem: 'a folder of pictures needs a prompt, and there is no --prompt',
  remedy: 'give --prompt "…", which is sent with every picture',
};

function unknownSlots(option: string, names: string[], header: string[]): Problem[] {
  const unknown = [...new Set(names)].filter((name) => !findSlot(header, name));
  return unknown.map((name) =>
    problemAt(
      { column: name },
      {
        problem: `${option} asks for "${name.slice(0, 80)}", but the table has no such column`,
        remedy: didYouMean(name, header) || `its columns are: ${listed(header)}`,
      },
    ),
  );
}

/**
 * Columns without a name that hold something.
 * @returns a function that takes the records in order and tells each such column once
 */
export function createNamelessCheck({ header, line }: Table): (record: TableRecord) => Problem[] {
  const nameless = new Set([...header.keys()].filter((at) => header[at] === ''));
  return (record) => {
    if (record.flaw) return [];
    const used = [...nameless].filter((at) => record.cells[at]?.trim());
    for (const at of used) nameless.delete(at);
    return used.map((at) => {
      const problem = `column ${at + 1} has no name, but line ${record.line} has something in it`;
      const remedy = 'give the column a name or empty it';
      return problemAt({ line, value: record.cells[at] }, { problem, remedy });
    });
  };
}

/** Ids of `--ids` that no row has. */
export function unknownIds(wanted: string[], ids: Ids, columns: Columns): Problem[] {
  const column = columns.of.id === undefined ? undefined : columns.header[columns.of.id];
  return [...new Set(wanted)]
    .filter((id) => !ids.has(id))
    .map((id, at) => {
      const hint = at < 20 ? didYouMean(id, ids.first()) : '';
      const flaw = {
        problem: '--ids names a row that the table does not have',
        remedy: hint || 'check its spelling',
      };
      return problemAt({ column, value: id }, flaw);
    });
}
