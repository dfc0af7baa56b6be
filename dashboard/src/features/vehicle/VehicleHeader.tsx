import { Link } from '@tanstack/react-router';
import { ArrowLeft } from 'lucide-react';
import { StateBadge } from '@/components/StateBadge/StateBadge';
import { formatAgo } from '@/lib/format';
import { useVehicle } from '@/lib/live/live';
import type { VehicleState } from '@/lib/live/protocol';
import { text } from '@/lib/text';
import { useNowMs } from '@/lib/time/clock';
import { usePageTitle } from '@/lib/use-page-title';
import styles from './VehicleHeader.module.css';

interface VehicleHeaderProps {
  readonly id: string;
  /** What the API said, until the live connection knows better. */
  readonly known:
    { readonly name: string; readonly state: VehicleState; readonly last_seen: number | null } | undefined;
}

export function VehicleHeader({ id, known }: VehicleHeaderProps) {
  const live = useVehicle(id);
  const nowMs = useNowMs();
  const name = live?.name ?? known?.name ?? id;
  usePageTitle(name);
  const state = live?.state ?? known?.state;
  const lastSeenMs = live?.lastSeenMs ?? known?.last_seen ?? null;
  return (
    <header className={styles['header']}>
      <Link to="/" search={{ vehicle: id }} className={styles['back']} aria-label={text.vehicle.back}>
        <ArrowLeft size={18} aria-hidden />
      </Link>
      <div className={styles['title']}>
        <h1>{name}</h1>
        <div className={styles['facts']}>
          {state !== undefined && <StateBadge state={state} />}
          <span>{lastSeenMs === null ? text.vehicle.never : text.vehicle.lastSeen(formatAgo(nowMs - lastSeenMs))}</span>
          {name !== id && <span className={styles['id']}>{id}</span>}
        </div>
      </div>
      <nav aria-label={text.vehicle.sections} className={styles['tabs']}>
        <Link
          to="/vehicles/$vehicleId"
          params={{ vehicleId: id }}
          activeOptions={{ exact: true, includeSearch: false }}
        >
          {text.vehicle.live}
        </Link>
        <Link to="/vehicles/$vehicleId/track" params={{ vehicleId: id }} activeOptions={{ includeSearch: false }}>
          {text.vehicle.track}
        </Link>
      </nav>
    </header>
  );
}
