import type { Feature, FeatureCollection, Point } from 'geojson';
import type { VehicleView } from '@/lib/live/fleet-store';
import { vehicleIcon } from '@/lib/map/vehicle-icons';

export interface VehicleProperties {
  readonly id: string;
  readonly name: string;
  readonly icon: string;
  readonly course: number;
  /** Higher is drawn on top. */
  readonly rank: number;
}

const RANK = { offline: 0, parked: 1, idling: 2, driving: 3 } as const;

/** The vehicles that have a position, as the map draws them. */
export function fleetGeoJson(vehicles: readonly VehicleView[]): FeatureCollection<Point, VehicleProperties> {
  return { type: 'FeatureCollection', features: vehicles.flatMap(toFeature) };
}

/** West, south, east, north; null where no vehicle has a position. */
export function fleetBounds(vehicles: readonly VehicleView[]): [number, number, number, number] | null {
  const places = vehicles.flatMap(({ position }) => (position === null ? [] : [position]));
  if (places.length === 0) return null;
  const lons = places.map(({ lon }) => lon);
  const lats = places.map(({ lat }) => lat);
  return [Math.min(...lons), Math.min(...lats), Math.max(...lons), Math.max(...lats)];
}

function toFeature({ id, name, state, position }: VehicleView): Feature<Point, VehicleProperties>[] {
  if (position === null) return [];
  const hasHeading = state === 'driving' && position.course !== null;
  const properties = {
    id,
    name,
    icon: vehicleIcon(state, hasHeading),
    course: hasHeading ? (position.course ?? 0) : 0,
    rank: RANK[state],
  };
  return [{ type: 'Feature', properties, geometry: { type: 'Point', coordinates: [position.lon, position.lat] } }];
}
