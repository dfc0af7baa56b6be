import { LineChart } from 'lucide-react';
import type { SignalInfo } from '@/api/types';
import { Card } from '@/components/Card/Card';
import { EmptyState } from '@/components/EmptyState/EmptyState';
import { Segmented } from '@/components/Segmented/Segmented';
import type { SignalStore } from '@/lib/live/signal-store';
import { text } from '@/lib/text';
import { SignalChart } from './SignalChart';
import { WINDOWS_MIN } from './vehicle-view';
import type { WindowMin } from './vehicle-view';

interface ChartsCardProps {
  readonly vehicleId: string;
  readonly names: readonly string[];
  readonly infos: ReadonlyMap<string, SignalInfo>;
  readonly store: SignalStore;
  readonly minutes: WindowMin;
  readonly onMinutes: (minutes: WindowMin) => void;
  readonly onNames: (names: readonly string[]) => void;
}

export function ChartsCard({ vehicleId, names, infos, store, minutes, onMinutes, onNames }: ChartsCardProps) {
  const picker = (
    <Segmented
      label={text.chart.window}
      value={String(minutes)}
      options={WINDOWS_MIN.map((known) => [String(known), text.chart.windows[known]] as const)}
      onChange={(key) => onMinutes(WINDOWS_MIN.find((known) => String(known) === key) ?? minutes)}
    />
  );
  return (
    <Card title={text.chart.title} actions={picker} isFlush>
      {names.length === 0 && <EmptyState icon={LineChart} title={text.chart.pick} />}
      {names.map((name, index) => (
        <SignalChart
          key={name}
          vehicleId={vehicleId}
          name={name}
          info={infos.get(name)}
          index={index}
          minutes={minutes}
          store={store}
          onRemove={() => onNames(names.filter((other) => other !== name))}
        />
      ))}
    </Card>
  );
}
