import { useMemo } from 'react';
import type uPlot from 'uplot';
import { UplotCanvas } from '@/components/UplotCanvas/UplotCanvas';
import { timeAxis, valueAxis } from '@/lib/chart-style';
import { cssColor } from '@/lib/css-color';
import { formatClock, formatSpeed } from '@/lib/format';
import { text } from '@/lib/text';
import { useTheme } from '@/lib/theme';
import styles from './SpeedProfile.module.css';
import type { Track } from '@/lib/track/track';

interface SpeedProfileProps {
  readonly track: Track;
  readonly hovered: number | null;
  readonly onHover: (index: number | null) => void;
}

/** Speed over time; pointing at it shows the place on the map. */
export function SpeedProfile({ track, hovered, onHover }: SpeedProfileProps) {
  const theme = useTheme((state) => state.theme);
  const data = useMemo<uPlot.AlignedData>(
    () => [track.timesMs.map((ms) => ms / 1000), track.speedsKmh as (number | null)[]],
    [track],
  );
  const options = useMemo(() => profileOptions(theme, onHover), [theme, onHover]);
  const timeMs = hovered === null ? undefined : track.timesMs[hovered];
  return (
    <section className={styles['profile']} aria-label={text.track.profile}>
      <header className={styles['head']}>
        <h2>{text.track.profile}</h2>
        {hovered !== null && timeMs !== undefined && (
          <span>
            {formatClock(timeMs)} · <strong>{formatSpeed(track.speedsKmh[hovered] ?? null)}</strong>
          </span>
        )}
      </header>
      <UplotCanvas label={text.track.profile} height={130} options={options} data={data} />
    </section>
  );
}

function profileOptions(
  _theme: string,
  onHover: (index: number | null) => void,
): Omit<uPlot.Options, 'width' | 'height'> {
  const color = cssColor('--chart-1');
  return {
    legend: { show: false },
    padding: [8, 12, 0, 0],
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    scales: { y: { range: (_u, _min, max) => [0, Math.max(10, (max ?? 0) * 1.1)] } },
    series: [
      {},
      {
        stroke: color,
        width: 1.5,
        points: { show: false },
        fill: `color-mix(in srgb, ${color} 14%, transparent)`,
      },
    ],
    axes: [timeAxis(), valueAxis((value) => formatSpeed(value))],
    hooks: { setCursor: [(chart) => onHover(chart.cursor.idx ?? null)] },
  };
}
