import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useCallback, useMemo } from 'react';
import { fromSearch, toSearch } from '@/features/vehicle/vehicle-view';
import type { VehicleView } from '@/features/vehicle/vehicle-view';
import { VehiclePage } from '@/features/vehicle/VehiclePage';

export function VehicleRoute() {
  const { vehicleId } = useParams({ from: '/signed-in/vehicles/$vehicleId/' });
  const search = useSearch({ from: '/signed-in/vehicles/$vehicleId/' });
  const navigate = useNavigate();
  const view = useMemo(() => fromSearch(search), [search]);
  const show = useCallback(
    (next: VehicleView) =>
      void navigate({ to: '/vehicles/$vehicleId', params: { vehicleId }, search: toSearch(next), replace: true }),
    [navigate, vehicleId],
  );
  return <VehiclePage key={vehicleId} id={vehicleId} view={view} onView={show} />;
}
