import { ToggleButton, ToggleButtonGroup } from 'react-aria-components';
import { SearchField } from '@/components/SearchField/SearchField';
import { Select } from '@/components/Select/Select';
import { StateMark } from '@/components/StateBadge/StateBadge';
import type { VehicleView } from '@/lib/live/fleet-store';
import { VEHICLE_STATES } from '@/lib/live/protocol';
import { text } from '@/lib/text';
import { countStates } from './fleet-rows';
import { SORTS } from './fleet-view';
import type { FleetView } from './fleet-view';
import styles from './FleetTools.module.css';

interface FleetToolsProps {
  readonly view: FleetView;
  readonly onView: (view: FleetView) => void;
  readonly vehicles: readonly VehicleView[];
  readonly shown: number;
}

/** Search, state filters with their counts, and order. */
export function FleetTools({ view, onView, vehicles, shown }: FleetToolsProps) {
  const counts = countStates(vehicles);
  return (
    <div className={styles['tools']}>
      <SearchField
        label={text.fleet.search}
        placeholder={text.fleet.search}
        value={view.query}
        onChange={(query) => onView({ ...view, query })}
      />
      <ToggleButtonGroup
        aria-label={text.fleet.filter}
        className={styles['filters'] ?? ''}
        selectionMode="multiple"
        selectedKeys={view.states}
        onSelectionChange={(keys) => onView({ ...view, states: VEHICLE_STATES.filter((state) => keys.has(state)) })}
      >
        {VEHICLE_STATES.map((state) => (
          <ToggleButton key={state} id={state} className={styles['filter'] ?? ''}>
            <span className={styles['count']}>{counts[state]}</span>
            <span className={styles['state']}>
              <StateMark state={state} />
              {text.states[state]}
            </span>
          </ToggleButton>
        ))}
      </ToggleButtonGroup>
      <div className={styles['summary']}>
        <span role="status">{text.fleet.vehicles(shown, vehicles.length)}</span>
        <Select
          label={text.fleet.sort}
          value={view.sort}
          options={SORTS.map((sort) => [sort, text.fleet.sorts[sort]] as const)}
          onChange={(sort) => onView({ ...view, sort })}
        />
      </div>
    </div>
  );
}
