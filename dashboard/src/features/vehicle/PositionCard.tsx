import { MapPin } from 'lucide-react';
import type { Map as MapLibre } from 'maplibre-gl';
import { useEffect, useState } from 'react';
import { Card } from '@/components/Card/Card';
import { EmptyState } from '@/components/EmptyState/EmptyState';
import { MapCanvas } from '@/components/MapCanvas/MapCanvas';
import { NOTHING, formatAgo, formatCourse, formatPlace, formatSpeed } from '@/lib/format';
import { useLive, useVehicle } from '@/lib/live/live';
import { text } from '@/lib/text';
import { useNowMs } from '@/lib/time/clock';
import { PositionOverlay } from './position-overlay';
import styles from './PositionCard.module.css';

export function PositionCard({ id }: { readonly id: string }) {
  const position = useVehicle(id)?.position ?? null;
  const nowMs = useNowMs();
  return (
    <Card title={text.vehicle.position} isFlush>
      {position === null ? (
        <EmptyState icon={MapPin} title={text.vehicle.noPosition} hint={text.vehicle.noPositionHint} />
      ) : (
        <div className={styles['position']}>
          <dl className={styles['facts']}>
            <Fact name={text.vehicle.speed} value={formatSpeed(position.speed)} />
            <Fact name={text.vehicle.course} value={formatCourse(position.course)} />
            <Fact name={text.vehicle.altitude} value={position.alt === null ? NOTHING : `${Math.round(position.alt)} m`} />
            <Fact name={text.vehicle.fixAge} value={formatAgo(nowMs - position.t)} />
            <Fact name={text.vehicle.place} value={formatPlace(position.lat, position.lon)} />
          </dl>
          <div className={styles['map']}>
            <PositionMap id={id} />
          </div>
        </div>
      )}
    </Card>
  );
}

function Fact({ name, value }: { readonly name: string; readonly value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

const FIRST_ZOOM = 12;

/** Keeps the vehicle in the middle until somebody moves the map. */
function PositionMap({ id }: { readonly id: string }) {
  const { fleet } = useLive();
  const [map, setMap] = useState<MapLibre | null>(null);
  const [overlay] = useState(() => new PositionOverlay());
  const [overlays] = useState(() => [overlay]);

  useEffect(() => {
    if (map === null) return undefined;
    let isFollowing = true;
    let isPlaced = false;
    const draw = () => {
      const vehicle = fleet.find(id);
      if (vehicle === undefined || vehicle.position === null) return;
      overlay.show(vehicle);
      const center: [number, number] = [vehicle.position.lon, vehicle.position.lat];
      if (!isPlaced) map.jumpTo({ center, zoom: FIRST_ZOOM });
      else if (isFollowing) map.easeTo({ center, duration: 450 });
      isPlaced = true;
    };
    map.on('dragstart', () => (isFollowing = false));
    draw();
    return fleet.subscribe(draw);
  }, [map, overlay, fleet, id]);

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
