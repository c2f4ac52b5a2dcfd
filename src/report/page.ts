import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { codes } from '../errors.ts';
import { ownCells, type ReportCall, type ReportRow, resultFields, resultOf, type Value } from './rows.ts';
import { othersLeft, type Summary } from './summary.ts';
import { stoppingOf } from './stop.ts';

/** What the page says above its rows. */
export interface PageHead {
  summary: Summary;
  /** The user's own columns, in the manifest's order. */
  columns: string[];
  /** Rows that the page doesn't show, since there are too many. */
  left: number;
}

/** Names a thumbnail by the sha256 of the whole picture, so that equal pictures share one. */
export function thumbnailKey(sha256: string): string {
  return sha256.slice(0, 32);
}

/** A thumbnail's path beside the page. */
export function thumbnailName(key: string): string {
  return `thumbs/${key.slice(0, 2)}/${key}.webp`;
}

/** The page's script, in the order in which its parts need each other. */
const scripts = ['words', 'text', 'data', 'dom', 'picture', 'head', 'sheet', 'detail', 'main'];

const rowsABlock = 200;

/**
 * `index.html`: the report for people, a page without a server. All that comes from others stands in it as JSON, which
 * the page's script shows as text; the policy forbids every other script and everything from elsewhere.
 */
export async function* pageHtml(rows: AsyncIterable<ReportRow>, head: PageHead): AsyncGenerator<string> {
  const style = await pagePart('page.css');
  const parts = await Promise.all(scripts.map((name) => pagePart(`${name}.js`)));
  const script = parts.map(withoutModuleWords).join('\n');
  yield `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy(style, script)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<meta name="robots" content="noindex">
<title>reshoot</title>
<style>${style}</style>
</head>
<body>
<noscript><p>This page needs JavaScript; results.csv beside it holds the same.</p></noscript>
<main id="page"></main>
${block('head', headOf(head))}
`;
  let held: object[] = [];
  for await (const row of rows) {
    held.push(rowOf(row, head.columns));
    if (held.length < rowsABlock) continue;
    yield `${block('rows', held)}\n`;
    held = [];
  }
  yield `${block('rows', held)}\n<script type="module">${script}</script>\n</body>\n</html>\n`;
}

function pagePart(name: string): Promise<string> {
  return readFile(new URL(`page/${name}`, import.meta.url), 'utf8');
}

/** The parts are modules for the tools' sake; a page from disk may load none, so they become one. */
function withoutModuleWords(part: string): string {
  return part.replaceAll(/^import [^;]*;$/gm, '').replaceAll(/^export (?=async |const |function )/gm, '');
}

/** Thumbnails and pictures come from beside the page only: from disk that is `file:`, from a server `'self'`. */
function policy(style: string, script: string): string {
  return [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${hashOf(style)}`,
    "img-src 'self' file:",
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join('; ');
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/** JSON that no HTML parser can take for anything else: it holds no `<`. */
function block(name: string, content: unknown): string {
  return `<script type="application/json" data-block="${name}">${inert(content)}</script>`;
}

function inert(content: unknown): string {
  return JSON.stringify(content)
    .replaceAll('<', '\\u003c')
    .replaceAll('\u2028', '\\u2028')
    .replaceAll('\u2029', '\\u2029');
}

/** What `page/data.js` reads beside the rows. */
function headOf({ summary, columns, left }: PageHead): object {
  return {
    summary,
    columns,
    left,
    fields: resultFields,
    othersLeft: othersLeft(summary),
    stop: stoppingOf(summary),
    meanings: Object.fromEntries(Object.entries(codes).map(([code, { says }]) => [code, says])),
  };
}

/** What `page/data.js` reads of a row; columns by their place, since a column may be called anything. */
function rowOf(row: ReportRow, columns: string[]): object {
  const { prompt, size, ratio, pictures } = row.row;
  const result = resultOf(row);
  return {
    result: resultFields.map((field) => result[field]),
    own: ownCells(row.row, columns),
    prompt,
    size,
    ratio,
    chosen: row.row.selected,
    pictures: pictures.map((picture) =>
      picture.kind === 'file' ? { path: picture.path } : { url: picture.url },
    ),
    calls: row.calls.map(callOf),
    before: pathOf(row.thumbs?.before),
    after: pathOf(row.thumbs?.after),
  };
}

const pathOf = (key: string | undefined): string | null => (key === undefined ? null : thumbnailName(key));

function callOf(call: ReportCall): Value[] {
  const { n, at, run, route, account, ms, httpStatus, outcome, charged, errorCode } = call;
  return [n, at, run, route, account, ms ?? null, httpStatus ?? null, outcome, charged, errorCode ?? null];
}
