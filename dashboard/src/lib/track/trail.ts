import type { FeatureCollection, LineString } from 'geojson';
import type { Track } from './track';

type Place = readonly [lon: number, lat: number];

const MOST_LIVE_POINTS = 2000;
const LONGEST_STEP_MS = 120_000;

/** Where a vehicle came from: its stored way of the last minutes, and then what came in live. A long silence breaks the line. */
export class Trail {
  private stored: readonly (readonly [tMs: number, place: Place])[] = [];
  private live: (readonly [tMs: number, place: Place])[] = [];

  load({ timesMs, coordinates }: Track): void {
    this.stored = timesMs.map((tMs, i) => [tMs, coordinates[i] as Place] as const);
  }

  add(tMs: number, place: Place): void {
    if (tMs <= (this.live.at(-1)?.[0] ?? -Infinity)) return;
    this.live.push([tMs, place]);
    if (this.live.length > MOST_LIVE_POINTS) this.live.shift();
  }

  clear(): void {
    this.stored = [];
    this.live = [];
  }

  toGeoJson(): FeatureCollection<LineString> {
    const loadedMs = this.stored.at(-1)?.[0] ?? -Infinity;
    const points = [...this.stored, ...this.live.filter(([tMs]) => tMs > loadedMs)];
    const lines: Place[][] = [[]];
    points.forEach(([tMs, place], i) => {
      const lastMs = points[i - 1]?.[0] ?? tMs;
      if (tMs - lastMs > LONGEST_STEP_MS) lines.push([]);
      lines.at(-1)?.push(place);
    });
    return {
      type: 'FeatureCollection',
      features: lines
        .filter((line) => line.length > 1)
        .map((line) => ({
          type: 'Feature',
          properties: {},
          geometry: { type: 'LineString', coordinates: line.map((place) => [...place]) },
        })),
    };
  }
}
