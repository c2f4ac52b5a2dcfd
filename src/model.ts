/** The words of the product as types: row, call, run. Imported everywhere, imports nothing. */

/** A generation route: one of the two compute suppliers behind the API. */
export type Route = 1 | 2;

export const tiers = ['1K', '2K', '4K'] as const;
export const ratios = ['1:1', '16:9', '9:16', '4:3', '3:4'] as const;
export type Ratio = (typeof ratios)[number];

/** Was a credit taken for a call? `unknown`: it was cut off after it was sent. */
export type Charge = 'yes' | 'no' | 'unknown';

/** A reference picture as the plan saw it: enough to notice a change without reading it. */
export type Picture =
  | { kind: 'file'; path: string; bytes: number; mtimeMs: number; ino: number }
  | { kind: 'url'; url: string };

/** A manifest's row, checked and with its templates filled in: a line of `plan.jsonl`. */
export interface Row {
  /** Its place among the manifest's rows, from 1. */
  row: number;
  /** The line of the manifest's file on which it starts, from 1. */
  line: number;
  id: string;
  pictures: Picture[];
  prompt: string;
  /** `1K`, `2K`, `4K` or `<width>x<height>`. */
  size: string;
  ratio: Ratio;
  /** The route of its odd attempts; even ones take the other. */
  route: Route;
  /** Path below the output; `{ext}` stands for the extension that the answer's content decides. */
  output: string;
  /** Pictures of ours that stood at that name when the plan was made: they make room for this row's. */
  replaces?: string[];
  /** The user's own columns, carried into the results unchanged. */
  columns: Record<string, string>;
  /** Left out by `--limit` or `--ids`: reported, not worked on. */
  selected: boolean;
  /** With `--skip-invalid`: what is wrong with it. Such a row is never worked on. */
  invalid?: string;
  /** What is wrong with a row that isn't selected: nobody need mend it before it is to be done. */
  flaw?: string;
  /** An earlier row has the same id, and its calls. */
  repeats?: true;
}

/** The seven outcomes of a row; a finished report knows no other. */
export const rowStatuses = [
  'succeeded',
  'skipped',
  'failed',
  'held',
  'cancelled',
  'not_attempted',
  'invalid',
] as const;

export type RowStatus = (typeof rowStatuses)[number];

/** A picture's content and where it was read, so that an unchanged file need not be read again. */
export type Source =
  | { kind: 'file'; path: string; bytes: number; mtimeMs: number; ino: number; sha256: string }
  | { kind: 'url'; url: string };

/** A problem of the manifest, said so that it can be mended without asking anybody. */
export interface Finding {
  file: string;
  /** From 1; absent where the whole file is meant. */
  line?: number;
  /** The column's name as the manifest spells it; absent where the whole row is meant. */
  column?: string;
  /** What stands there, shortened. */
  value?: string;
  problem: string;
  remedy: string;
}

/** What a verified picture is, read from its bytes. */
export interface PictureFacts {
  /** `image/jpeg` … */
  mime: string;
  /** The extension its content asks for, without a dot: `jpg`, `png`, `webp` … */
  ext: string;
  width: number;
  height: number;
  /** False: a known type that our decoder lacks; taken at its header's word. */
  verified: boolean;
}
