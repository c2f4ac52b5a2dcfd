/** What a run of the benchmark is asked for. */
export interface RunOptions {
  /** For trying: less of everything; nothing is written. */
  quick: boolean;
  /** A folder of the part's own, removed afterwards. */
  folder: string;
  say(line: string): void;
}

/** A plot for the page: `docs/performance/<name>.svg`. */
export interface Plot {
  name: string;
  svg: string;
}

/** A line of the one table: a value for each contender. */
export interface SummaryRow {
  what: string;
  values: Record<string, string>;
}

/**
 * One question of the benchmark, a file of `parts/`. Its figures are kept as JSON in `docs/performance/figures.json`, so
 * that a part can be measured again without the others.
 */
export interface Part<Figures = unknown> {
  /** As in `--only`. */
  name: string;
  title: string;
  run(options: RunOptions): Promise<Figures>;
  /** Markdown below the part's title. */
  render(figures: Figures): string;
  plots?(figures: Figures): Plot[];
  /** The part's share of the one table. */
  summary?(figures: Figures): SummaryRow[];
}
