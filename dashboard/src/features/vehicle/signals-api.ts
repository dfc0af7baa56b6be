import { queryOptions } from '@tanstack/react-query';
import type { SignalInfo, SignalList } from '@/api/types';
import { request } from '@/lib/api/client';

/** What is known of each signal that the vehicle has sent, by name. */
export function signalsQuery(id: string) {
  return queryOptions({
    queryKey: ['signals', id],
    queryFn: async ({ signal }) => {
      const { signals } = await request<SignalList>(`/v1/vehicles/${encodeURIComponent(id)}/signals`, { signal });
      return new Map<string, SignalInfo>(signals.map((info) => [info.name, info]));
    },
  });
}
