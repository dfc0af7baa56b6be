import type { Feature, FeatureCollection, Geometry } from 'geojson';
import type { GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import { cssColor } from '@/lib/css-color';
import type { MapOverlay } from '@/lib/map/overlay';
import type { Track } from '@/lib/track/track';

const SOURCE = 'track';
const HOVER = 'track-hover';

/** A driven way: a line with its start and end, and a mark where the pointer is on the speed profile. */
export class TrackOverlay implements MapOverlay {
  private map: MapLibre | null = null;
  private features: Feature[] = [];
  private hovered: Feature[] = [];

  attach(map: MapLibre): void {
    this.map = map;
    map.addSource(SOURCE, { type: 'geojson', data: collection(this.features) });
    map.addSource(HOVER, { type: 'geojson', data: collection(this.hovered) });
    const layout = { 'line-cap': 'round', 'line-join': 'round' } as const;
    const isLine = ['==', ['geometry-type'], 'LineString'] as ['==', ...unknown[]] as never;
    map.addLayer({
      id: 'track-casing',
      type: 'line',
      source: SOURCE,
      filter: isLine,
      layout,
      paint: { 'line-color': cssColor('--surface'), 'line-width': 7 },
    });
    map.addLayer({
      id: 'track-line',
      type: 'line',
      source: SOURCE,
      filter: isLine,
      layout,
      paint: { 'line-color': cssColor('--accent'), 'line-width': 4 },
    });
    map.addLayer({
      id: 'track-ends',
      type: 'circle',
      source: SOURCE,
      filter: ['has', 'end'],
      paint: {
        'circle-radius': 6,
        'circle-color': ['match', ['get', 'end'], 'start', cssColor('--surface'), cssColor('--accent')],
        'circle-stroke-color': ['match', ['get', 'end'], 'start', cssColor('--accent'), cssColor('--surface')],
        'circle-stroke-width': 3,
      },
    });
    map.addLayer({
      id: HOVER,
      type: 'circle',
      source: HOVER,
      paint: {
        'circle-radius': 8,
        'circle-color': cssColor('--chart-2'),
        'circle-stroke-color': cssColor('--surface'),
        'circle-stroke-width': 3,
      },
    });
  }

  show({ coordinates }: Track): void {
    const points = coordinates.map(([lon, lat]) => [lon, lat]);
    const [first, last] = [points[0], points.at(-1)];
    this.features =
      first === undefined || last === undefined
        ? []
        : [
            ...(points.length > 1 ? [feature({ type: 'LineString', coordinates: points })] : []),
            feature({ type: 'Point', coordinates: first }, 'start'),
            feature({ type: 'Point', coordinates: last }, 'finish'),
          ];
    this.map?.getSource<GeoJSONSource>(SOURCE)?.setData(collection(this.features));
  }

  mark(place: readonly [number, number] | null): void {
    this.hovered = place === null ? [] : [feature({ type: 'Point', coordinates: [...place] })];
    this.map?.getSource<GeoJSONSource>(HOVER)?.setData(collection(this.hovered));
  }
}

function feature(geometry: Geometry, end?: 'start' | 'finish'): Feature {
  return { type: 'Feature', properties: end === undefined ? {} : { end }, geometry };
}

function collection(features: Feature[]): FeatureCollection {
  return { type: 'FeatureCollection', features };
}
