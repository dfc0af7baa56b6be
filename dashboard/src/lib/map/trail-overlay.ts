import type { GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import { cssColor } from '../css-color';
import type { Trail } from '../track/trail';
import type { MapOverlay } from './overlay';

const TRAIL = 'trail';

/** The way behind one vehicle, drawn below it. */
export class TrailOverlay implements MapOverlay {
  private readonly trail: Trail;
  private map: MapLibre | null = null;

  constructor(trail: Trail) {
    this.trail = trail;
  }

  attach(map: MapLibre): void {
    this.map = map;
    map.addSource(TRAIL, { type: 'geojson', data: this.trail.toGeoJson() });
    map.addLayer({
      id: TRAIL,
      type: 'line',
      source: TRAIL,
      layout: { 'line-cap': 'round', 'line-join': 'round' },
      paint: { 'line-color': cssColor('--accent'), 'line-width': 3, 'line-opacity': 0.75 },
    });
  }

  refresh(): void {
    this.map?.getSource<GeoJSONSource>(TRAIL)?.setData(this.trail.toGeoJson());
  }
}
