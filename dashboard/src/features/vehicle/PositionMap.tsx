import { useQuery } from '@tanstack/react-query';
import type { Map as MapLibre } from 'maplibre-gl';
import { useEffect, useState } from 'react';
import { MapCanvas } from '@/components/MapCanvas/MapCanvas';
import { useLive } from '@/lib/live/live';
import { TrailOverlay } from '@/lib/map/trail-overlay';
import { text } from '@/lib/text';
import { trailQuery } from '@/lib/track/track-api';
import { Trail } from '@/lib/track/trail';
import { PositionOverlay } from './position-overlay';

const FIRST_ZOOM = 12;
const TRAIL_MIN = 30;

function createLayers() {
  const trail = new Trail();
  const trailOverlay = new TrailOverlay(trail);
  const vehicle = new PositionOverlay();
  return { trail, trailOverlay, vehicle, overlays: [trailOverlay, vehicle] };
}

/** The vehicle and the way it came; it stays in the middle until somebody moves the map. */
export function PositionMap({ id }: { readonly id: string }) {
  const { fleet } = useLive();
  const [map, setMap] = useState<MapLibre | null>(null);
  const [{ trail, trailOverlay, vehicle, overlays }] = useState(createLayers);
  const stored = useQuery(trailQuery(id, TRAIL_MIN)).data;

  useEffect(() => {
    if (stored === undefined) return;
    trail.load(stored);
    trailOverlay.refresh();
  }, [trail, trailOverlay, stored]);

  useEffect(() => {
    if (map === null) return undefined;
    let isFollowing = true;
    let isPlaced = false;
    const draw = () => {
      const view = fleet.find(id);
      if (view === undefined || view.position === null) return;
      const center: [number, number] = [view.position.lon, view.position.lat];
      trail.add(view.position.t, center);
      trailOverlay.refresh();
      vehicle.show(view);
      if (!isPlaced) map.jumpTo({ center, zoom: FIRST_ZOOM });
      else if (isFollowing) map.easeTo({ center, duration: 450 });
      isPlaced = true;
    };
    map.on('dragstart', () => (isFollowing = false));
    draw();
    return fleet.subscribe(draw);
  }, [map, trail, trailOverlay, vehicle, fleet, id]);

  return (
    <MapCanvas
      label={text.vehicle.map}
      overlays={overlays}
      onReady={(ready) => {
        setMap(ready);
        return () => setMap(null);
      }}
    />
  );
}
