import { Link } from '@tanstack/react-router';
import { Route, X } from 'lucide-react';
import { Button } from '@/components/Button/Button';
import { buttonClass } from '@/components/Button/button-class';
import { StateBadge } from '@/components/StateBadge/StateBadge';
import { formatAgo, formatCourse, formatPlace, formatSpeed } from '@/lib/format';
import { useVehicle } from '@/lib/live/live';
import { text } from '@/lib/text';
import { useNowMs } from '@/lib/time/clock';
import styles from './VehicleCard.module.css';

interface VehicleCardProps {
  readonly id: string;
  readonly onClose: () => void;
}

/** The selected vehicle at a glance, with the ways on. */
export function VehicleCard({ id, onClose }: VehicleCardProps) {
  const vehicle = useVehicle(id);
  const nowMs = useNowMs();
  if (vehicle === undefined) return null;
  const { name, state, lastSeenMs, position } = vehicle;
  return (
    <aside className={styles['card']} aria-label={name}>
      <header className={styles['header']}>
        <h2>{name}</h2>
        <Button variant="icon" aria-label={text.fleet.close} onPress={onClose}>
          <X size={18} aria-hidden />
        </Button>
      </header>
      <div className={styles['state']}>
        <StateBadge state={state} />
        <span>{lastSeenMs === null ? text.fleet.neverSeen : formatAgo(nowMs - lastSeenMs)}</span>
      </div>
      {position === null ? (
        <p className={styles['none']}>{text.fleet.noPosition}</p>
      ) : (
        <dl className={styles['facts']}>
          <Fact name={text.vehicle.speed} value={formatSpeed(position.speed)} />
          <Fact name={text.vehicle.course} value={formatCourse(position.course)} />
          <Fact name={text.vehicle.place} value={formatPlace(position.lat, position.lon)} />
        </dl>
      )}
      <div className={styles['actions']}>
        <Link to="/vehicles/$vehicleId" params={{ vehicleId: id }} className={buttonClass('primary')}>
          {text.fleet.open}
        </Link>
        <Link to="/vehicles/$vehicleId/track" params={{ vehicleId: id }} className={buttonClass('plain')}>
          <Route size={16} aria-hidden /> {text.fleet.track}
        </Link>
      </div>
    </aside>
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
