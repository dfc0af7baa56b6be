import type { Track as TrackFeature } from '@/api/types';

/** The fixes of a span in order of time, as columns of equal length. */
export interface Track {
  readonly coordinates: readonly (readonly [lon: number, lat: number])[];
  readonly timesMs: readonly number[];
  readonly speedsKmh: readonly (number | null)[];
}

export interface TrackSummary {
  readonly lengthM: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly topSpeedKmh: number | null;
  readonly fixes: number;
}

export function toTrack({ geometry, properties }: TrackFeature): Track {
  const raw = geometry === null ? [] : geometry.type === 'Point' ? [geometry.coordinates] : geometry.coordinates;
  return {
    coordinates: raw.map(([lon = NaN, lat = NaN]) => [lon, lat] as const),
    timesMs: properties.times,
    speedsKmh: properties.speeds,
  };
}

/** Null where there is no fix. The length is the sum of great-circle steps. */
export function summarise({ coordinates, timesMs, speedsKmh }: Track): TrackSummary | null {
  const firstMs = timesMs[0];
  const lastMs = timesMs.at(-1);
  if (firstMs === undefined || lastMs === undefined) return null;
  const speeds = speedsKmh.filter((speed) => speed !== null);
  return {
    lengthM: lengthM(coordinates),
    firstMs,
    lastMs,
    topSpeedKmh: speeds.length === 0 ? null : speeds.reduce((a, b) => Math.max(a, b)),
    fixes: coordinates.length,
  };
}

/** West, south, east, north. */
export function trackBounds({ coordinates }: Track): [number, number, number, number] {
  let [west, south, east, north] = [180, 90, -180, -90];
  for (const [lon, lat] of coordinates) {
    west = Math.min(west, lon);
    south = Math.min(south, lat);
    east = Math.max(east, lon);
    north = Math.max(north, lat);
  }
  return [west, south, east, north];
}

function lengthM(coordinates: Track['coordinates']): number {
  let sum = 0;
  for (let i = 1; i < coordinates.length; i++) {
    sum += distanceM(coordinates[i - 1] as readonly [number, number], coordinates[i] as readonly [number, number]);
  }
  return sum;
}

const EARTH_RADIUS_M = 6_371_008.8;

/** Haversine, on the sphere of the earth's mean radius. */
export function distanceM([lon1, lat1]: readonly [number, number], [lon2, lat2]: readonly [number, number]): number {
  const rad = Math.PI / 180;
  const dLat = (lat2 - lat1) * rad;
  const dLon = (lon2 - lon1) * rad;
  const a = Math.sin(dLat / 2) ** 2 + Math.cos(lat1 * rad) * Math.cos(lat2 * rad) * Math.sin(dLon / 2) ** 2;
  return 2 * EARTH_RADIUS_M * Math.asin(Math.min(1, Math.sqrt(a)));
}
