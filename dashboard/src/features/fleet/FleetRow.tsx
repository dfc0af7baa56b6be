import { Link } from '@tanstack/react-router';
import { memo } from 'react';
import { StateMark } from '@/components/StateBadge/StateBadge';
import { formatAgo, formatSpeed } from '@/lib/format';
import type { VehicleView } from '@/lib/live/fleet-store';
import { text } from '@/lib/text';
import { useNowMs } from '@/lib/time/clock';
import styles from './FleetRow.module.css';
import { toSearch } from './fleet-view';
import type { FleetView } from './fleet-view';

interface FleetRowProps {
  readonly vehicle: VehicleView;
  readonly view: FleetView;
}

export const FleetRow = memo(function FleetRow({ vehicle, view }: FleetRowProps) {
  const { id, name, state, position } = vehicle;
  const isSelected = view.selectedId === id;
  return (
    <div className={styles['row']} data-vehicle={id} data-state={state} data-selected={isSelected || undefined}>
      <StateMark state={state} />
      <Link
        to="/"
        search={toSearch({ ...view, selectedId: id, pane: 'map' })}
        replace
        className={styles['name']}
        aria-current={isSelected ? 'true' : undefined}
      >
        {name}
      </Link>
      <span className={styles['speed']}>{state === 'driving' ? formatSpeed(position?.speed ?? null) : ''}</span>
      <span className={styles['detail']}>
        {text.states[state]} · <Seen ms={vehicle.lastSeenMs} />
      </span>
    </div>
  );
});

function Seen({ ms }: { readonly ms: number | null }) {
  const nowMs = useNowMs();
  return ms === null ? text.fleet.neverSeen : formatAgo(nowMs - ms);
}
