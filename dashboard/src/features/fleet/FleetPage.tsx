import { List, Map as MapIcon } from 'lucide-react';
import { useMemo } from 'react';
import { Segmented } from '@/components/Segmented/Segmented';
import { useFleet } from '@/lib/live/live';
import { text } from '@/lib/text';
import { usePageTitle } from '@/lib/use-page-title';
import { FleetList } from './FleetList';
import { FleetMap } from './FleetMap';
import styles from './FleetPage.module.css';
import { FleetTools } from './FleetTools';
import type { FleetView } from './fleet-view';
import { matching, sorted } from './fleet-rows';
import { VehicleCard } from './VehicleCard';

interface FleetPageProps {
  readonly view: FleetView;
  readonly onView: (view: FleetView) => void;
}

export function FleetPage({ view, onView }: FleetPageProps) {
  usePageTitle(text.fleet.title);
  const vehicles = useFleet();
  const { query, states, sort } = view;
  const filter = useMemo(() => ({ query, states }), [query, states]);
  const rows = useMemo(() => sorted(matching(vehicles, filter), sort), [vehicles, filter, sort]);
  const select = (selectedId: string | undefined) => onView({ ...view, selectedId, pane: 'map' });

  return (
    <div className={styles['page']} data-pane={view.pane}>
      <h1 className="visually-hidden">{text.fleet.title}</h1>
      <section className={styles['side']} aria-label={text.fleet.list}>
        <FleetTools view={view} onView={onView} vehicles={vehicles} shown={rows.length} />
        <FleetList rows={rows} all={vehicles.length} view={view} onView={onView} />
      </section>
      <div className={styles['map']}>
        <FleetMap filter={filter} selectedId={view.selectedId} onSelect={select} />
        {view.selectedId !== undefined && <VehicleCard id={view.selectedId} onClose={() => select(undefined)} />}
      </div>
      <div className={styles['switch']}>
        <Segmented
          label={text.fleet.view}
          value={view.pane}
          onChange={(pane) => onView({ ...view, pane })}
          options={[
            ['map', <PaneName key="map" icon={<MapIcon size={16} aria-hidden />} name={text.fleet.showMap} />],
            ['list', <PaneName key="list" icon={<List size={16} aria-hidden />} name={text.fleet.showList} />],
          ]}
        />
      </div>
    </div>
  );
}

function PaneName({ icon, name }: { readonly icon: React.ReactNode; readonly name: string }) {
  return (
    <>
      {icon} {name}
    </>
  );
}
