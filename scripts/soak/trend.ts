/** A moment of the soak: seconds since its start, calls made until then, and what was measured. */
export interface Sample {
  s: number;
  calls: number;
  [measure: string]: number;
}

/** What may grow, and how much: `most` in its own unit, or `share` of its mean. */
export interface Bound {
  measure: string;
  /** For people. */
  name: string;
  unit: string;
  most?: number;
  share?: number;
}

/** A straight line through a measure's samples. */
export interface Trend {
  measure: string;
  name: string;
  unit: string;
  mean: number;
  perHour: number;
  per10kCalls: number;
  /** By how much the line rises from the first to the last of these samples. */
  drift: number;
  /** The most that it may; undefined: it is only told. */
  bound: number | undefined;
  grows: boolean;
}

/** Least squares over the samples that have the measure; undefined where fewer than three have. */
export function trendOf(samples: Sample[], { measure, name, unit, most, share }: Bound): Trend | undefined {
  const known = samples.filter((sample) => sample[measure] !== undefined);
  const first = known[0];
  const last = known.at(-1);
  if (!first || !last || known.length < 3) return undefined;
  const values = known.map((sample) => sample[measure] ?? 0);
  const perSecond = slope(
    known.map(({ s }) => s),
    values,
  );
  const perCall = slope(
    known.map(({ calls }) => calls),
    values,
  );
  const drift = perSecond * (last.s - first.s);
  const mean = meanOf(values);
  const bound = most ?? (share === undefined ? undefined : share * mean);
  return {
    measure,
    name,
    unit,
    mean,
    perHour: perSecond * 3600,
    per10kCalls: perCall * 10_000,
    drift,
    bound,
    grows: bound !== undefined && drift > bound,
  };
}

function slope(xs: number[], ys: number[]): number {
  const x0 = meanOf(xs);
  const y0 = meanOf(ys);
  let covariance = 0;
  let variance = 0;
  xs.forEach((x, i) => {
    covariance += (x - x0) * ((ys[i] ?? 0) - y0);
    variance += (x - x0) ** 2;
  });
  return variance === 0 ? 0 : covariance / variance;
}

function meanOf(values: number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** At most so many of them, evenly spread, the last one included. */
export function thinned<T>(samples: T[], most: number): T[] {
  const step = Math.max(1, samples.length / most);
  const count = Math.min(most, samples.length);
  return Array.from({ length: count }, (_, i) => samples[samples.length - 1 - Math.round(i * step)])
    .filter((sample) => sample !== undefined)
    .toReversed();
}
