import type { Buckets } from '@/api/types';
import type { LivePoints } from '@/lib/live/signal-store';

/** Columns as uPlot takes them: seconds, then highest, lowest and mean; null breaks the line. */
export type ChartColumns = [t: number[], max: Column, min: Column, mean: Column];
type Column = (number | null)[];

const LONGEST_STEP_MS = 60_000;

/** History, then the live points that are newer than it, from `fromMs` on. A step of over a minute is a gap. */
export function chartColumns(history: Buckets, live: LivePoints, fromMs: number): ChartColumns {
  const columns: ChartColumns = [[], [], [], []];
  let lastMs = NaN;
  const add = (tMs: number, max: number, min: number, mean: number) => {
    if (tMs - lastMs > LONGEST_STEP_MS) push(columns, lastMs + 1, null, null, null);
    push(columns, tMs, max, min, mean);
    lastMs = tMs;
  };
  history.t.forEach((tMs, i) => {
    if (tMs >= fromMs) add(tMs, at(history.max, i), at(history.min, i), at(history.mean, i));
  });
  const loadedMs = history.t.at(-1) ?? -Infinity;
  for (let i = firstAfter(live.t, Math.max(loadedMs, fromMs)); i < live.t.length; i++) {
    const value = at(live.v, i);
    add(at(live.t, i), value, value, value);
  }
  return columns;
}

function push(
  [t, maxima, minima, means]: ChartColumns,
  tMs: number,
  max: number | null,
  min: number | null,
  mean: number | null,
) {
  t.push(tMs / 1000);
  maxima.push(max);
  minima.push(min);
  means.push(mean);
}

function at(column: readonly number[], i: number): number {
  return column[i] as number;
}

/** Index of the first time after `ms`, in a column that never falls. */
function firstAfter(times: readonly number[], ms: number): number {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (at(times, middle) <= ms) low = middle + 1;
    else high = middle;
  }
  return low;
}
