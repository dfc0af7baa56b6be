import type { FeatureCollection, Point } from 'geojson';
import type { GeoJSONSource, Map as MapLibre } from 'maplibre-gl';
import type { VehicleView } from '@/lib/live/fleet-store';
import type { MapOverlay } from '@/lib/map/overlay';
import { addVehicleIcons, vehicleIcon } from '@/lib/map/vehicle-icons';

const SOURCE = 'position';

/** One vehicle. */
export class PositionOverlay implements MapOverlay {
  private map: MapLibre | null = null;
  private point: FeatureCollection<Point> = { type: 'FeatureCollection', features: [] };

  attach(map: MapLibre): void {
    this.map = map;
    addVehicleIcons(map);
    map.addSource(SOURCE, { type: 'geojson', data: this.point });
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
    this.point = {
      type: 'FeatureCollection',
      features: [
        { type: 'Feature', properties, geometry: { type: 'Point', coordinates: [position.lon, position.lat] } },
      ],
    };
    this.map?.getSource<GeoJSONSource>(SOURCE)?.setData(this.point);
  }
}
