import { useNavigate, useSearch } from '@tanstack/react-router';
import { FleetPage } from '@/features/fleet/FleetPage';
import { fromSearch, toSearch } from '@/features/fleet/fleet-view';

export function FleetRoute() {
  const search = useSearch({ from: '/signed-in/' });
  const navigate = useNavigate({ from: '/' });
  return (
    <FleetPage
      view={fromSearch(search)}
      onView={(view) => void navigate({ to: '/', search: toSearch(view), replace: true })}
    />
  );
}
