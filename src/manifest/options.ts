import { UsageError } from '../errors.ts';
import type { Ratio, Route } from '../model.ts';
import { checkMap } from './columns.ts';
import { checkNameTemplate } from './names.ts';
import { allowedRatios, allowedSizes, contradicts, readRatio, readRoute, readSize } from './values.ts';

/** How a manifest is to be read: the command's options of the same names. */
export interface ManifestOptions {
  /** Template of output names, `{id}.{ext}` by default. */
  name: string;
  /** Field → column; an empty column means that the table has none for the field. */
  map: Record<string, string>;
  /** Where relative pictures start; the manifest's folder by default. */
  imageRoot?: string | undefined;
  encoding?: string | undefined;
  /** `csv`, `jsonl`, `xlsx` …; by the file's name where it is not given. */
  format?: string | undefined;
  /** Of a workbook; the first one where it is not given. */
  sheet?: string | undefined;
  /** Every picture of a product is a row of its own. */
  eachPicture?: boolean | undefined;
  /** Template for rows without a prompt of their own. */
  prompt?: string | undefined;
  size: string;
  ratio: string;
  route: number;
  /** Only the first rows of the manifest, so many. */
  limit?: number | undefined;
  /** Only the rows with these ids. */
  ids?: string[] | undefined;
  /** The caller will leave out rows with findings; the reader itself finds the same either way. */
  skipInvalid: boolean;
}

/** What rows without their own size, ratio and route get. */
export interface Defaults {
  size: string;
  ratio: Ratio;
  route: Route;
}

/** @throws UsageError naming the option that is wrong and what it should be */
export function checkOptions(options: ManifestOptions): Defaults {
  checkMap(options.map);
  checkNameTemplate(options.name);
  const size = readSize(options.size);
  if (!size) throw new UsageError(`--size ${options.size}: write ${allowedSizes}`);
  const ratio = readRatio(options.ratio);
  if (!ratio) throw new UsageError(`--ratio ${options.ratio}: write one of ${allowedRatios}`);
  // The usual ratio may be one that nobody asked for.
  if (ratio !== '1:1' && contradicts(size, ratio))
    throw new UsageError(
      `--size ${size} --ratio ${ratio}: this size does not have this ratio: give one of the two`,
    );
  const route = readRoute(String(options.route));
  if (!route) throw new UsageError(`--route ${options.route}: write 1 or 2`);
  return { size, ratio, route };
}
