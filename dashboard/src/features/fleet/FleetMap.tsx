import { useQuery } from '@tanstack/react-query';
import { Maximize } from 'lucide-react';
import type { Map as MapLibre } from 'maplibre-gl';
import { useEffect, useRef, useState } from 'react';
import { Button } from '@/components/Button/Button';
import { MapCanvas } from '@/components/MapCanvas/MapCanvas';
import type { FleetStore } from '@/lib/live/fleet-store';
import { useLive } from '@/lib/live/live';
import { TrailOverlay } from '@/lib/map/trail-overlay';
import { perf } from '@/lib/perf';
import { text } from '@/lib/text';
import { trailQuery } from '@/lib/track/track-api';
import { Trail } from '@/lib/track/trail';
import { fleetBounds, fleetGeoJson } from './fleet-geojson';
import styles from './FleetMap.module.css';
import { matching } from './fleet-rows';
import type { FleetFilter } from './fleet-rows';
import { VehiclesOverlay } from './vehicles-overlay';

const CLOSE_ZOOM = 11;
const TRAIL_MIN = 30;
/** Room for the card, which lies over the lower half of a narrow map. */
const CARD_HEIGHT = 330;
const NARROW = 760;

function createLayers() {
  const trail = new Trail();
  const trailOverlay = new TrailOverlay(trail);
  const overlay = new VehiclesOverlay();
  return { overlay, trail, trailOverlay, overlays: [trailOverlay, overlay] };
}

interface FleetMapProps {
  readonly filter: FleetFilter;
  readonly selectedId: string | undefined;
  readonly onSelect: (id: string | undefined) => void;
}

/** The fleet store drawn on the map, past React: an update of 500 vehicles renders no component. */
export function FleetMap({ filter, selectedId, onSelect }: FleetMapProps) {
  const { fleet } = useLive();
  const [map, setMap] = useState<MapLibre | null>(null);
  const [{ overlay, trail, trailOverlay, overlays }] = useState(createLayers);
  const isFitted = useRef(false);
  const select = useRef(onSelect);
  useEffect(() => {
    select.current = onSelect;
  });

  useEffect(() => {
    if (map === null) return undefined;
    const draw = () => {
      const started = performance.now();
      overlay.show(fleetGeoJson(matching(fleet.all(), filter)));
      perf.mapUpdates += 1;
      perf.lastMapUpdateAt = started;
      perf.lastMapUpdateMs = performance.now() - started;
      isFitted.current ||= map.getContainer().clientWidth > 0 && fit(map, fleet, { animate: false });
    };
    draw();
    return fleet.subscribe(draw);
  }, [map, overlay, fleet, filter]);

  useEffect(() => {
    if (map === null) return undefined;
    overlay.select(selectedId);
    trail.clear();
    trailOverlay.refresh();
    if (selectedId === undefined) return undefined;
    let isShown = false;
    const follow = () => {
      const position = fleet.find(selectedId)?.position;
      if (!position) return;
      trail.add(position.t, [position.lon, position.lat]);
      trailOverlay.refresh();
      if (!isShown) goTo(map, [position.lon, position.lat]);
      isShown = true;
    };
    follow();
    return fleet.subscribe(follow);
  }, [map, overlay, trail, trailOverlay, fleet, selectedId]);

  const stored = useQuery({ ...trailQuery(selectedId ?? '', TRAIL_MIN), enabled: selectedId !== undefined }).data;
  useEffect(() => {
    if (map === null || stored === undefined || selectedId === undefined) return;
    trail.load(stored);
    trailOverlay.refresh();
  }, [map, trail, trailOverlay, stored, selectedId]);

  return (
    <MapCanvas
      label={text.fleet.map}
      overlays={overlays}
      onReady={(ready) => {
        isFitted.current = false;
        setMap(ready);
        const stop = overlay.onSelect(ready, (id) => select.current(id));
        return () => {
          stop();
          setMap(null);
        };
      }}
    >
      <div className={styles['fit']}>
        <Button
          variant="plain"
          aria-label={text.fleet.fit}
          onPress={() => map !== null && fit(map, fleet, { animate: true })}
        >
          <Maximize size={16} aria-hidden />
        </Button>
      </div>
    </MapCanvas>
  );
}

/** Shows the whole fleet; false where no vehicle has a position yet. */
function fit(map: MapLibre, fleet: FleetStore, { animate }: { readonly animate: boolean }): boolean {
  const bounds = fleetBounds(fleet.all());
  if (bounds === null) return false;
  map.fitBounds(bounds, { padding: 64, maxZoom: 12, animate });
  return true;
}

function goTo(map: MapLibre, center: [number, number]): void {
  const { clientWidth, clientHeight } = map.getContainer();
  const bottom = clientWidth <= NARROW ? Math.min(CARD_HEIGHT, clientHeight / 2) : 0;
  const { y } = map.project(center);
  const isInView = map.getBounds().contains(center) && y < clientHeight - bottom && map.getZoom() >= CLOSE_ZOOM - 1;
  if (isInView) return;
  map.easeTo({ center, zoom: Math.max(map.getZoom(), CLOSE_ZOOM), offset: [0, -bottom / 2] });
}
