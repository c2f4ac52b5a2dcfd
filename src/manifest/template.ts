import { columnKey, fields, indexOfColumn, type Field } from './columns.ts';

/** Where a template's name gets its value: a column of the table, or a field of the finished row. */
export type Slot = { column: number } | { field: Field | 'row' };

const slot = /\{\{([^{}]+)\}\}/g;

/** The names that a prompt template asks for. */
export function promptSlots(template: string): string[] {
  return [...template.matchAll(slot)].map((match) => match[1] ?? '');
}

/** Fills `{{name}}`; where there is no value the text stays as it is. Values are not filled again. */
export function fillPrompt(template: string, valueOf: (name: string) => string | undefined): string {
  return template.replaceAll(slot, (whole, name: string) => valueOf(name) ?? whole);
}

/**
 * What a template's name stands for: the table's header first, then the product's own fields.
 * @param ownFirst fields that win over a column of the same name
 */
export function findSlot(header: string[], name: string, ownFirst: readonly string[] = []): Slot | undefined {
  const field = [...fields, 'row' as const].find((field) => field === columnKey(name));
  if (field && ownFirst.includes(field)) return { field };
  const column = indexOfColumn(header, name);
  if (column >= 0) return { column };
  return field && { field };
}
