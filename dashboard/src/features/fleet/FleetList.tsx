import { useVirtualizer } from '@tanstack/react-virtual';
import { SearchX, Truck } from 'lucide-react';
import { useRef } from 'react';
import { Button } from '@/components/Button/Button';
import { EmptyState } from '@/components/EmptyState/EmptyState';
import { Spinner } from '@/components/Spinner/Spinner';
import type { VehicleView } from '@/lib/live/fleet-store';
import { useFleetLoaded } from '@/lib/live/live';
import { text } from '@/lib/text';
import styles from './FleetList.module.css';
import { FleetRow } from './FleetRow';
import type { FleetView } from './fleet-view';

const ROW_HEIGHT = 60;

interface FleetListProps {
  readonly rows: readonly VehicleView[];
  readonly all: number;
  readonly view: FleetView;
  readonly onView: (view: FleetView) => void;
}

export function FleetList({ rows, all, view, onView }: FleetListProps) {
  const isLoaded = useFleetLoaded();
  if (!isLoaded && all === 0) return <Spinner label={text.fleet.loading} />;
  if (all === 0) {
    return (
      <EmptyState icon={Truck} title={text.fleet.emptyTitle} hint={text.fleet.emptyHint}>
        <code>{text.fleet.emptyCommand}</code>
      </EmptyState>
    );
  }
  if (rows.length === 0) {
    return (
      <EmptyState icon={SearchX} title={text.fleet.noMatchTitle} hint={text.fleet.noMatchHint}>
        <Button onPress={() => onView({ ...view, query: '', states: [] })}>{text.fleet.clear}</Button>
      </EmptyState>
    );
  }
  return <Rows rows={rows} view={view} />;
}

function Rows({ rows, view }: Pick<FleetListProps, 'rows' | 'view'>) {
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_HEIGHT,
    getItemKey: (index) => rows[index]?.id ?? index,
    overscan: 8,
  });
  return (
    <div ref={scroller} className={styles['scroller']}>
      <ul className={styles['list']} style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map(({ key, index, start }) => {
          const vehicle = rows[index];
          return vehicle === undefined ? null : (
            <li
              key={key}
              className={styles['item']}
              style={{ height: ROW_HEIGHT, transform: `translateY(${start}px)` }}
              aria-setsize={rows.length}
              aria-posinset={index + 1}
            >
              <FleetRow vehicle={vehicle} view={view} />
            </li>
          );
        })}
      </ul>
    </div>
  );
}
