import type { FeatureCollection, Point } from 'geojson';
import type { GeoJSONSource, Map as MapLibre, MapLayerMouseEvent } from 'maplibre-gl';
import { LABEL_FONT } from '@/lib/map/base-style';
import { cssColor } from '@/lib/css-color';
import type { MapOverlay } from '@/lib/map/overlay';
import { addVehicleIcons } from '@/lib/map/vehicle-icons';
import type { VehicleProperties } from './fleet-geojson';

const SOURCE = 'vehicles';
const HALO = 'vehicle-halo';
const VEHICLES = 'vehicles';
const CLUSTERS = 'vehicle-clusters';
const CLUSTER_COUNTS = 'vehicle-cluster-counts';
const NONE = '\u0000';

type Vehicles = FeatureCollection<Point, VehicleProperties>;

/** The live fleet: a turned icon for each vehicle, and one disc with a count where many are close together. */
export class VehiclesOverlay implements MapOverlay {
  private map: MapLibre | null = null;
  private data: Vehicles = { type: 'FeatureCollection', features: [] };
  private selectedId: string | undefined;

  attach(map: MapLibre): void {
    this.map = map;
    addVehicleIcons(map);
    map.addSource(SOURCE, { type: 'geojson', data: this.data, cluster: true, clusterRadius: 38, clusterMaxZoom: 9 });
    this.addVehicles(map);
    this.addClusters(map);
  }

  show(data: Vehicles): void {
    this.data = data;
    this.map?.getSource<GeoJSONSource>(SOURCE)?.setData(data);
  }

  select(id: string | undefined): void {
    this.selectedId = id;
    if (this.map?.getLayer(HALO)) this.map.setFilter(HALO, ['==', ['get', 'id'], id ?? NONE]);
  }

  /** Reports clicks on vehicles, and on the empty map as undefined; opens clusters by itself. Returns the clean-up. */
  onSelect(map: MapLibre, select: (id: string | undefined) => void): () => void {
    const click = (event: MapLayerMouseEvent) => {
      const [hit] = map.queryRenderedFeatures(event.point, { layers: [VEHICLES, CLUSTERS] });
      if (hit === undefined) select(undefined);
      else if (hit.layer.id === VEHICLES) select(String(hit.properties['id']));
      else void openCluster(map, Number(hit.properties['cluster_id']), event);
    };
    const move = (event: MapLayerMouseEvent) => {
      const isOver = map.queryRenderedFeatures(event.point, { layers: [VEHICLES, CLUSTERS] }).length > 0;
      map.getCanvas().style.cursor = isOver ? 'pointer' : '';
    };
    map.on('click', click);
    map.on('mousemove', move);
    return () => {
      map.off('click', click);
      map.off('mousemove', move);
    };
  }

  private addVehicles(map: MapLibre): void {
    map.addLayer({
      id: HALO,
      type: 'circle',
      source: SOURCE,
      filter: ['==', ['get', 'id'], this.selectedId ?? NONE],
      paint: {
        'circle-radius': 19,
        'circle-color': cssColor('--accent'),
        'circle-opacity': 0.2,
        'circle-stroke-color': cssColor('--accent'),
        'circle-stroke-width': 2,
      },
    });
    map.addLayer({
      id: VEHICLES,
      type: 'symbol',
      source: SOURCE,
      filter: ['!', ['has', 'point_count']],
      layout: {
        'icon-image': ['get', 'icon'],
        'icon-rotate': ['get', 'course'],
        'icon-rotation-alignment': 'map',
        'icon-allow-overlap': true,
        'icon-ignore-placement': true,
        'symbol-sort-key': ['get', 'rank'],
        'text-field': ['step', ['zoom'], '', 9, ['get', 'name']],
        'text-font': [LABEL_FONT],
        'text-size': 12,
        'text-anchor': 'top',
        'text-offset': [0, 1.25],
        'text-optional': true,
      },
      paint: {
        'text-color': cssColor('--ink'),
        'text-halo-color': cssColor('--surface'),
        'text-halo-width': 1.6,
      },
    });
  }

  private addClusters(map: MapLibre): void {
    map.addLayer({
      id: CLUSTERS,
      type: 'circle',
      source: SOURCE,
      filter: ['has', 'point_count'],
      paint: {
        'circle-radius': ['interpolate', ['linear'], ['get', 'point_count'], 2, 15, 50, 22, 500, 32],
        'circle-color': cssColor('--accent'),
        'circle-stroke-color': cssColor('--surface'),
        'circle-stroke-width': 2.5,
      },
    });
    map.addLayer({
      id: CLUSTER_COUNTS,
      type: 'symbol',
      source: SOURCE,
      filter: ['has', 'point_count'],
      layout: {
        'text-field': ['get', 'point_count_abbreviated'],
        'text-font': [LABEL_FONT],
        'text-size': 13,
        'text-allow-overlap': true,
        'text-ignore-placement': true,
      },
      paint: { 'text-color': cssColor('--accent-ink') },
    });
  }
}

async function openCluster(map: MapLibre, clusterId: number, { lngLat }: MapLayerMouseEvent): Promise<void> {
  const source = map.getSource<GeoJSONSource>(SOURCE);
  if (source === undefined) return;
  const zoom = await source.getClusterExpansionZoom(clusterId);
  map.easeTo({ center: lngLat, zoom: Math.max(zoom, map.getZoom() + 1) });
}
