import { useNavigate, useSearch } from '@tanstack/react-router';
import { useMemo } from 'react';
import { FleetPage } from '@/features/fleet/FleetPage';
import { fromSearch, toSearch } from '@/features/fleet/fleet-view';

export function FleetRoute() {
  const search = useSearch({ from: '/signed-in/' });
  const navigate = useNavigate({ from: '/' });
  const view = useMemo(() => fromSearch(search), [search]);
  return <FleetPage view={view} onView={(view) => void navigate({ to: '/', search: toSearch(view), replace: true })} />;
}
