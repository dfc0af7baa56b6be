import { queryOptions } from '@tanstack/react-query';
import type { Track } from '@/api/types';
import { request, withQuery } from '@/lib/api/client';
import { toRfc3339 } from '@/lib/time/span';
import type { Span } from '@/lib/time/span';
import { toTrack } from './track';

export function trackQuery(vehicleId: string, span: Span) {
  return queryOptions({
    queryKey: ['track', vehicleId, span.fromMs, span.toMs],
    queryFn: async ({ signal }) => toTrack(await request<Track>(trackUrl(vehicleId, span, 'geojson'), { signal })),
  });
}

export function trackUrl(vehicleId: string, { fromMs, toMs }: Span, format: 'geojson' | 'gpx'): string {
  const path = `/v1/vehicles/${encodeURIComponent(vehicleId)}/track`;
  return withQuery(path, { from: toRfc3339(fromMs), to: toRfc3339(toMs), format });
}
