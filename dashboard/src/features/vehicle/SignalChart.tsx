import { useQuery } from '@tanstack/react-query';
import { X } from 'lucide-react';
import { useMemo, useState } from 'react';
import type uPlot from 'uplot';
import type { SignalInfo } from '@/api/types';
import { Button } from '@/components/Button/Button';
import { UplotCanvas } from '@/components/UplotCanvas/UplotCanvas';
import { formatClock } from '@/lib/format';
import type { SignalStore } from '@/lib/live/signal-store';
import { parseSignalName, signalLabel } from '@/lib/signal-name';
import { text } from '@/lib/text';
import { useTheme } from '@/lib/theme';
import { useNowMs } from '@/lib/time/clock';
import { chartColumns } from './chart-data';
import { signalChartOptions } from './chart-options';
import { seriesQuery } from './series-api';
import { signalText } from './signal-text';
import styles from './SignalChart.module.css';
import { useSnapshotCount, useStoreVersion } from './use-signal-store';

interface SignalChartProps {
  readonly vehicleId: string;
  readonly name: string;
  readonly info: SignalInfo | undefined;
  readonly index: number;
  readonly minutes: number;
  readonly store: SignalStore;
  readonly onRemove: () => void;
}

const HEIGHT = 132;
const NO_HISTORY = { unit: null, t: [], min: [], max: [], mean: [], n: [] };

/** One signal over the last minutes: history first, then live. */
export function SignalChart({ vehicleId, name, info, index, minutes, store, onRemove }: SignalChartProps) {
  const snapshot = useSnapshotCount(store);
  const isStored = info !== undefined;
  const history = useQuery({
    ...seriesQuery({ vehicleId, name, minutes, snapshot }),
    enabled: snapshot > 0 && isStored,
  });
  const version = useStoreVersion(store);
  const nowMs = useNowMs();
  const theme = useTheme((state) => state.theme);
  const [hovered, setHovered] = useState<number | null>(null);
  const fromMs = nowMs - minutes * 60_000;

  const data = useMemo(() => {
    void version;
    return chartColumns(history.data ?? NO_HISTORY, store.since(name), fromMs);
  }, [history.data, store, name, fromMs, version]);
  const span = useMemo(() => [fromMs / 1000, nowMs / 1000] as const, [fromMs, nowMs]);
  const options = useMemo(
    () => signalChartOptions({ theme, index, choices: info?.choices ?? null, onHover: setHovered }),
    [theme, index, info?.choices],
  );

  const parts = parseSignalName(name);
  const shown = hovered ?? lastIndex(data);
  const value = shown === null ? null : (data[3][shown] ?? null);
  const timeMs = hovered === null ? null : (data[0][hovered] ?? 0) * 1000;
  return (
    <figure className={styles['chart']} data-index={index}>
      <figcaption className={styles['head']}>
        <span className={styles['swatch']} aria-hidden />
        <span className={styles['name']}>
          <span className={styles['message']}>{parts.message}</span> {signalLabel(parts)}
        </span>
        <span className={styles['value']}>
          {value !== null && signalText(value, info)} {timeMs !== null && <small>{formatClock(timeMs)}</small>}
        </span>
        <Button variant="icon" aria-label={text.chart.remove(name)} onPress={onRemove}>
          <X size={16} aria-hidden />
        </Button>
      </figcaption>
      <div className={styles['plot']}>
        <UplotCanvas label={name} height={HEIGHT} options={options} data={data as uPlot.AlignedData} span={span} />
        {data[0].length === 0 && (
          <p className={styles['none']}>{history.isFetching ? text.chart.loading : text.chart.noData}</p>
        )}
      </div>
    </figure>
  );
}

function lastIndex(data: readonly [readonly number[], ...unknown[]]): number | null {
  return data[0].length === 0 ? null : data[0].length - 1;
}
