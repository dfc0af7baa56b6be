import { queryOptions } from '@tanstack/react-query';
import type { Buckets, Series } from '@/api/types';
import { request } from '@/lib/api/client';
import { serverNowMs } from '@/lib/time/clock';
import { toRfc3339 } from '@/lib/time/span';

const POINTS = 600;

interface SeriesOf {
  readonly vehicleId: string;
  readonly name: string;
  readonly minutes: number;
  /** Counts the live connection's snapshots: with each the history is asked for again, which closes the hole before it. */
  readonly snapshot: number;
}

/** The last minutes of one signal up to now; what comes after is drawn from the live store. */
export function seriesQuery({ vehicleId, name, minutes, snapshot }: SeriesOf) {
  return queryOptions({
    queryKey: ['series', vehicleId, name, minutes, snapshot],
    queryFn: async ({ signal }) => {
      const nowMs = serverNowMs();
      const { series } = await request<Series>(`/v1/vehicles/${encodeURIComponent(vehicleId)}/series`, {
        query: { signal: [name], from: toRfc3339(nowMs - minutes * 60_000), to: toRfc3339(nowMs + 1), points: POINTS },
        signal,
      });
      return series[name] ?? EMPTY;
    },
    placeholderData: (previous) => previous,
    staleTime: Infinity,
  });
}

const EMPTY: Buckets = { unit: null, t: [], min: [], max: [], mean: [], n: [] };
