import { MapPin } from 'lucide-react';
import { Card } from '@/components/Card/Card';
import { EmptyState } from '@/components/EmptyState/EmptyState';
import { NOTHING, formatAgo, formatCourse, formatPlace, formatSpeed } from '@/lib/format';
import { useVehicle } from '@/lib/live/live';
import { text } from '@/lib/text';
import { useNowMs } from '@/lib/time/clock';
import styles from './PositionCard.module.css';
import { PositionMap } from './PositionMap';

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
            <Fact
              name={text.vehicle.altitude}
              value={position.alt === null ? NOTHING : `${Math.round(position.alt)} m`}
            />
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
