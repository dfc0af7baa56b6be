import type { FeatureCollection, LineString, Point } from 'geojson';
import type { GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import { cssColor } from '@/lib/css-color';
import type { VehicleView } from '@/lib/live/fleet-store';
import type { MapOverlay } from '@/lib/map/overlay';
import { addVehicleIcons, vehicleIcon } from '@/lib/map/vehicle-icons';

const SOURCE = 'position';
const TRAIL = 'trail';
const MOST_TRAIL_POINTS = 2000;

/** One vehicle, and the way it came since the page was opened. */
export class PositionOverlay implements MapOverlay {
  private map: MapLibre | null = null;
  private readonly trail: [number, number][] = [];
  private point: FeatureCollection<Point> = { type: 'FeatureCollection', features: [] };

  attach(map: MapLibre): void {
    this.map = map;
    addVehicleIcons(map);
    map.addSource(TRAIL, { type: 'geojson', data: this.line() });
    map.addSource(SOURCE, { type: 'geojson', data: this.point });
    map.addLayer({
      id: TRAIL,
      type: 'line',
      source: TRAIL,
      layout: { 'line-cap': 'round', 'line-join': 'round' },
      paint: { 'line-color': cssColor('--accent'), 'line-width': 3, 'line-opacity': 0.7 },
    });
    map.addLayer({
      id: SOURCE,
      type: 'symbol',
      source: SOURCE,
      layout: {
        'icon-image': ['get', 'icon'],
        'icon-rotate': ['get', 'course'],
        'icon-rotation-alignment': 'map',
        'icon-allow-overlap': true,
      },
    });
  }

  show({ state, position }: VehicleView): void {
    if (position === null) return;
    const hasHeading = state === 'driving' && position.course !== null;
    const properties = { icon: vehicleIcon(state, hasHeading), course: hasHeading ? position.course : 0 };
    const place: [number, number] = [position.lon, position.lat];
    const last = this.trail.at(-1);
    if (last === undefined || last[0] !== place[0] || last[1] !== place[1]) this.trail.push(place);
    if (this.trail.length > MOST_TRAIL_POINTS) this.trail.shift();
    this.point = {
      type: 'FeatureCollection',
      features: [{ type: 'Feature', properties, geometry: { type: 'Point', coordinates: place } }],
    };
    this.map?.getSource<GeoJSONSource>(SOURCE)?.setData(this.point);
    this.map?.getSource<GeoJSONSource>(TRAIL)?.setData(this.line());
  }

  private line(): FeatureCollection<LineString> {
    if (this.trail.length < 2) return { type: 'FeatureCollection', features: [] };
    const geometry: LineString = { type: 'LineString', coordinates: this.trail };
    return { type: 'FeatureCollection', features: [{ type: 'Feature', properties: {}, geometry }] };
  }
}
