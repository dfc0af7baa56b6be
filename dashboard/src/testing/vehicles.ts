import type { VehicleView } from '@/lib/live/fleet-store';
import type { LiveVehicle } from '@/lib/live/protocol';

export function liveVehicle(part: Partial<LiveVehicle> = {}): LiveVehicle {
  return { id: 'a', name: 'Alpha', state: 'parked', last_seen: 1_000, position: null, signals: {}, ...part };
}

export function vehicleView(part: Partial<VehicleView> = {}): VehicleView {
  return { id: 'a', name: 'Alpha', state: 'parked', lastSeenMs: 1_000, position: null, ...part };
}

export function position(part: Partial<NonNullable<VehicleView['position']>> = {}) {
  return { t: 1_000, lat: 60, lon: 25, speed: null, course: null, alt: null, ...part };
}
