import { useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useMemo } from 'react';
import { spanFromSearch, spanToSearch } from '@/features/track/track-view';
import { TrackPage } from '@/features/track/TrackPage';
import { serverNowMs } from '@/lib/time/clock';

export function TrackRoute() {
  const { vehicleId } = useParams({ from: '/signed-in/vehicles/$vehicleId/track' });
  const { from, to } = useSearch({ from: '/signed-in/vehicles/$vehicleId/track' });
  const navigate = useNavigate();
  const span = useMemo(() => spanFromSearch({ ...(from && { from }), ...(to && { to }) }, serverNowMs()), [from, to]);
  return (
    <TrackPage
      key={vehicleId}
      vehicleId={vehicleId}
      span={span}
      onSpan={(next) =>
        void navigate({ to: '/vehicles/$vehicleId/track', params: { vehicleId }, search: spanToSearch(next) })
      }
    />
  );
}
