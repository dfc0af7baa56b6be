import type { Map as MapLibre } from 'maplibre-gl';
import { Maximize } from 'lucide-react';
import { useEffect, useRef, useState } from 'react';
import { Button } from '@/components/Button/Button';
import { MapCanvas } from '@/components/MapCanvas/MapCanvas';
import type { FleetStore } from '@/lib/live/fleet-store';
import { useLive } from '@/lib/live/live';
import { perf } from '@/lib/perf';
import { text } from '@/lib/text';
import { fleetBounds, fleetGeoJson } from './fleet-geojson';
import styles from './FleetMap.module.css';
import { VehiclesOverlay } from './vehicles-overlay';

const CLOSE_ZOOM = 11;

interface FleetMapProps {
  readonly selectedId: string | undefined;
  readonly onSelect: (id: string | undefined) => void;
}

/** The fleet store drawn on the map, past React: an update of 500 vehicles renders no component. */
export function FleetMap({ selectedId, onSelect }: FleetMapProps) {
  const { fleet } = useLive();
  const [map, setMap] = useState<MapLibre | null>(null);
  const [overlay] = useState(() => new VehiclesOverlay());
  const [overlays] = useState(() => [overlay]);
  const select = useRef(onSelect);
  useEffect(() => {
    select.current = onSelect;
  });

  useEffect(() => {
    if (map === null) return undefined;
    let isFitted = false;
    const draw = () => {
      const started = performance.now();
      overlay.show(fleetGeoJson(fleet.all()));
      perf.mapUpdates += 1;
      perf.lastMapUpdateAt = started;
      perf.lastMapUpdateMs = performance.now() - started;
      isFitted ||= fit(map, fleet, { animate: false });
    };
    draw();
    return fleet.subscribe(draw);
  }, [map, overlay, fleet]);

  useEffect(() => {
    if (map === null) return;
    overlay.select(selectedId);
    const position = selectedId === undefined ? null : fleet.find(selectedId)?.position;
    if (position) goTo(map, [position.lon, position.lat]);
  }, [map, overlay, fleet, selectedId]);

  return (
    <MapCanvas
      label={text.fleet.map}
      overlays={overlays}
      onReady={(ready) => {
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
  const isInView = map.getBounds().contains(center) && map.getZoom() >= CLOSE_ZOOM - 1;
  if (!isInView) map.easeTo({ center, zoom: Math.max(map.getZoom(), CLOSE_ZOOM) });
}
