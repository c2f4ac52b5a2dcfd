import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { contenders, physical } from './contenders.ts';
import type { Circumstances } from './machine.ts';
import type { Part, SummaryRow } from './part.ts';
import { markdownTable, plainTable } from './words.ts';

/** What is kept of a part. */
export interface Kept {
  circumstances: Circumstances;
  figures: unknown;
}

/** By the names of parts. */
export type Figures = Record<string, Kept>;

const docs = (file: string): string => fileURLToPath(new URL(`../../docs/${file}`, import.meta.url));
const pageFile = docs('performance.md');
const figuresFile = docs('performance/figures.json');
const marked = /(<!-- bench:begin -->\n).*(<!-- bench:end -->)/s;

/** The figures of earlier runs. */
export async function readFigures(): Promise<Figures> {
  const text = await readFile(figuresFile, 'utf8').catch(() => '{}');
  return JSON.parse(text) as Figures;
}

/** Figures, plots and what stands between the page's two marks. */
export async function writePage(parts: Part[], figures: Figures): Promise<void> {
  await mkdir(docs('performance'), { recursive: true });
  await writeFile(figuresFile, `${JSON.stringify(figures, undefined, 2)}\n`);
  const measured = parts.flatMap((part) => {
    const kept = figures[part.name];
    return kept ? [{ part, kept }] : [];
  });
  for (const { part, kept } of measured) {
    for (const { name, svg } of part.plots?.(kept.figures) ?? []) {
      await writeFile(docs(`performance/${name}.svg`), svg);
    }
  }
  const sections = measured.map(
    ({ part, kept }) => `## ${part.title}\n\n${where(kept.circumstances)}\n\n${part.render(kept.figures)}\n`,
  );
  const [head, ...rows] = oneTable(parts, figures);
  const body = [`${markdownTable(head ?? [], rows)}\n`, ...sections].join('\n');
  const page = await readFile(pageFile, 'utf8');
  if (!marked.test(page)) throw new Error(`${pageFile} has lost its marks`);
  await writeFile(
    pageFile,
    page.replace(marked, (_, begin: string, end: string) => `${begin}\n${body}\n${end}`),
  );
}

/** The one table as a terminal shows it. */
export function terminalTable(parts: Part[], figures: Figures): string {
  const [head, ...rows] = oneTable(parts, figures);
  return plainTable(head ?? [], rows);
}

function where({ date, machine, load }: Circumstances): string {
  return `*Measured on ${date}: ${machine}; load average before: ${load}.*`;
}

/** Its first line is the head. */
function oneTable(parts: Part[], figures: Figures): string[][] {
  const columns = [...contenders.map(({ name }) => name), physical];
  const lines = parts.flatMap((part): SummaryRow[] => {
    const kept = figures[part.name];
    return kept ? (part.summary?.(kept.figures) ?? []) : [];
  });
  return [
    ['', ...columns],
    ...lines.map(({ what, values }) => [what].concat(columns.map((column) => values[column] ?? ''))),
  ];
}
