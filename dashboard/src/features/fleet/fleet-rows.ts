import type { VehicleView } from '@/lib/live/fleet-store';
import { VEHICLE_STATES } from '@/lib/live/protocol';
import type { VehicleState } from '@/lib/live/protocol';
import type { FleetView, Sort } from './fleet-view';

export type FleetFilter = Pick<FleetView, 'query' | 'states'>;

/** The vehicles that match search and filter. */
export function matching(vehicles: readonly VehicleView[], { query, states }: FleetFilter): VehicleView[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  return vehicles
    .filter((vehicle) => states.length === 0 || states.includes(vehicle.state))
    .filter((vehicle) => matches(vehicle, words));
}

/** In the chosen order; equal ones by name. */
export function sorted(vehicles: readonly VehicleView[], sort: Sort): VehicleView[] {
  return vehicles.toSorted((a, b) => ORDERS[sort](a, b) || byName(a, b));
}

export function countStates(vehicles: readonly VehicleView[]): Record<VehicleState, number> {
  const counts: Record<VehicleState, number> = { driving: 0, idling: 0, parked: 0, offline: 0 };
  for (const { state } of vehicles) counts[state] += 1;
  return counts;
}

function matches({ id, name }: VehicleView, words: readonly string[]): boolean {
  const known = `${name} ${id}`.toLowerCase();
  return words.every((word) => known.includes(word));
}

type Order = (a: VehicleView, b: VehicleView) => number;

const collator = new Intl.Collator('en', { numeric: true, sensitivity: 'base' });
const byName: Order = (a, b) => collator.compare(a.name, b.name) || collator.compare(a.id, b.id);

const ORDERS: Record<Sort, Order> = {
  name: byName,
  state: (a, b) => VEHICLE_STATES.indexOf(a.state) - VEHICLE_STATES.indexOf(b.state),
  seen: (a, b) => (b.lastSeenMs ?? 0) - (a.lastSeenMs ?? 0),
  speed: (a, b) => (b.position?.speed ?? -1) - (a.position?.speed ?? -1),
};
