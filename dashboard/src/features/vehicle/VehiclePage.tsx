import { useQuery } from '@tanstack/react-query';
import { useCallback, useMemo } from 'react';
import { ErrorView } from '@/components/ErrorView/ErrorView';
import { Notice } from '@/components/Notice/Notice';
import { useVehicle } from '@/lib/live/live';
import { text } from '@/lib/text';
import { ChartsCard } from './ChartsCard';
import { PositionCard } from './PositionCard';
import { defaultCharts } from './signal-rows';
import { signalsQuery } from './signals-api';
import { SignalsCard } from './SignalsCard';
import { useSignalNames, useSignalStore } from './use-signal-store';
import styles from './VehiclePage.module.css';
import type { VehicleView } from './vehicle-view';

interface VehiclePageProps {
  readonly id: string;
  readonly view: VehicleView;
  readonly onView: (view: VehicleView) => void;
}

const NO_INFOS = new Map();
const UNKNOWN_EVERY_MS = 2_000;

/** A vehicle now: where it is, what its signals say, and how they went in the last minutes. */
export function VehiclePage({ id, view, onView }: VehiclePageProps) {
  const store = useSignalStore(id);
  const liveNames = useSignalNames(store);
  const signals = useQuery({
    ...signalsQuery(id),
    // A signal that came live but is not stored yet has no unit and no words: ask until it has.
    refetchInterval: ({ state }) => (liveNames.every((name) => state.data?.has(name)) ? false : UNKNOWN_EVERY_MS),
  });
  const infos = signals.data ?? NO_INFOS;

  const names = useMemo(() => [...new Set([...infos.keys(), ...liveNames])].sort(), [infos, liveNames]);
  const suggested = useMemo(() => defaultCharts(names), [names]);
  const charted = view.charts ?? suggested;
  const setCharted = useCallback((charts: readonly string[]) => onView({ ...view, charts }), [view, onView]);
  const isOffline = useVehicle(id)?.state === 'offline';

  if (signals.isError && names.length === 0) {
    return <ErrorView error={signals.error} onRetry={() => void signals.refetch()} />;
  }
  return (
    <div className={styles['page']}>
      <div className={styles['signals']}>
        {isOffline && <Notice tone="info">{text.vehicle.offlineNote}</Notice>}
        <SignalsCard
          names={names}
          isLoading={signals.isPending}
          infos={infos}
          store={store}
          charted={charted}
          onCharted={setCharted}
        />
      </div>
      <div className={styles['pictures']}>
        <PositionCard id={id} />
        <ChartsCard
          vehicleId={id}
          names={charted}
          infos={infos}
          store={store}
          minutes={view.minutes}
          onMinutes={(minutes) => onView({ ...view, minutes })}
          onNames={setCharted}
        />
      </div>
    </div>
  );
}
