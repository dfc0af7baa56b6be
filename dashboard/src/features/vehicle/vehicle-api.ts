import { queryOptions } from '@tanstack/react-query';
import type { Vehicle } from '@/api/types';
import { request } from '@/lib/api/client';

export function vehicleQuery(id: string) {
  return queryOptions({
    queryKey: ['vehicle', id],
    queryFn: ({ signal }) => request<Vehicle>(`/v1/vehicles/${encodeURIComponent(id)}`, { signal }),
  });
}
