import uPlot from 'uplot';
import type { SignalInfo } from '@/api/types';
import { timeAxis, valueAxis } from '@/lib/chart-style';
import { cssColor } from '@/lib/css-color';
import { formatValue } from '@/lib/format';
import type { Theme } from '@/lib/theme';
import { choiceText } from './signal-text';

interface SignalChartLook {
  /** Colours are read from the document, which the theme has changed before. */
  readonly theme: Theme;
  readonly index: number;
  readonly choices: SignalInfo['choices'];
  readonly onHover: (index: number | null) => void;
}

const COLORS = ['--chart-1', '--chart-2', '--chart-3', '--chart-4'] as const;
const SYNC = 'vehicle';

/** A mean line over the band from lowest to highest; steps where the values have names. */
export function signalChartOptions({
  index,
  choices,
  onHover,
}: SignalChartLook): Omit<uPlot.Options, 'width' | 'height'> {
  const color = cssColor(COLORS[index % COLORS.length] ?? '--chart-1');
  const paths = choices === null ? undefined : uPlot.paths.stepped?.({ align: 1 });
  const line: uPlot.Series = { stroke: color, width: 1.75, points: { show: false }, ...(paths ? { paths } : {}) };
  const edge: uPlot.Series = { stroke: 'transparent', width: 0, points: { show: false } };
  return {
    legend: { show: false },
    padding: [8, 0, 0, 0],
    cursor: { sync: { key: SYNC }, drag: { x: false, y: false }, points: { size: 7, one: true } },
    scales: { y: { range: valueRange } },
    series: [{}, edge, edge, line],
    bands: [{ series: [1, 2], fill: `color-mix(in srgb, ${color} 22%, transparent)` }],
    axes: [timeAxis(), valueAxis((value) => choiceText(value, choices) ?? formatValue(value))],
    hooks: { setCursor: [(chart) => onHover(chart.cursor.idx ?? null)] },
  };
}

/** A little air above and below; a line that does not move lies in the middle. */
function valueRange(_: uPlot, min: number | null, max: number | null): [number, number] {
  if (min === null || max === null) return [0, 1];
  const air = max > min ? (max - min) * 0.12 : Math.max(1, Math.abs(max) * 0.05);
  return [min - air, max + air];
}
