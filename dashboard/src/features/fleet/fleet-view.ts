import { VEHICLE_STATES } from '@/lib/live/protocol';
import type { VehicleState } from '@/lib/live/protocol';

export const SORTS = ['name', 'state', 'seen', 'speed'] as const;
export type Sort = (typeof SORTS)[number];

/** What the fleet page shows, kept in the address so that it can be shared and comes back. */
export interface FleetView {
  readonly query: string;
  /** Empty means all. */
  readonly states: readonly VehicleState[];
  readonly sort: Sort;
  readonly selectedId: string | undefined;
  /** On a narrow screen only one of the two has room. */
  readonly pane: 'map' | 'list';
}

export interface FleetSearch {
  q?: string;
  state?: string;
  sort?: string;
  vehicle?: string;
  view?: string;
}

export function fromSearch({ q, state, sort, vehicle, view }: FleetSearch): FleetView {
  const wanted = new Set(state?.split(','));
  return {
    query: q ?? '',
    states: VEHICLE_STATES.filter((known) => wanted.has(known)),
    sort: SORTS.find((known) => known === sort) ?? 'name',
    selectedId: vehicle,
    pane: view === 'list' ? 'list' : 'map',
  };
}

export function toSearch({ query, states, sort, selectedId, pane }: FleetView): FleetSearch {
  return {
    ...(query === '' ? {} : { q: query }),
    ...(states.length === 0 ? {} : { state: states.join(',') }),
    ...(sort === 'name' ? {} : { sort }),
    ...(selectedId === undefined ? {} : { vehicle: selectedId }),
    ...(pane === 'map' ? {} : { view: pane }),
  };
}
