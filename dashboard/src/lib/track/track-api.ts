import { queryOptions } from '@tanstack/react-query';
import type { Track } from '@/api/types';
import { request, withQuery } from '../api/client';
import { serverNowMs } from '../time/clock';
import { toRfc3339 } from '../time/span';
import type { Span } from '../time/span';
import { toTrack } from './track';

export function trackQuery(vehicleId: string, span: Span) {
  return queryOptions({
    queryKey: ['track', vehicleId, span.fromMs, span.toMs],
    queryFn: async ({ signal }) => toTrack(await request<Track>(trackUrl(vehicleId, span, 'geojson'), { signal })),
  });
}

/** The way of the last minutes, as it was when first asked for: what comes after is drawn live. */
export function trailQuery(vehicleId: string, minutes: number) {
  return queryOptions({
    queryKey: ['trail', vehicleId, minutes],
    queryFn: async ({ signal }) => {
      const nowMs = serverNowMs();
      const span = { fromMs: nowMs - minutes * 60_000, toMs: nowMs + 1 };
      return toTrack(await request<Track>(trackUrl(vehicleId, span, 'geojson'), { signal }));
    },
    staleTime: 0,
    refetchOnMount: 'always',
  });
}

export function trackUrl(vehicleId: string, { fromMs, toMs }: Span, format: 'geojson' | 'gpx'): string {
  const path = `/v1/vehicles/${encodeURIComponent(vehicleId)}/track`;
  return withQuery(path, { from: toRfc3339(fromMs), to: toRfc3339(toMs), format });
}
