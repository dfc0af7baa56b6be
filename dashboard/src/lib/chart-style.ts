import type uPlot from 'uplot';
import { formatClock, formatClockShort } from './format';
import { cssColor } from './css-color';

const FONT = '11px "Noto Sans", sans-serif';

/** The axis of time below a chart, in the present theme's colours. */
export function timeAxis(): uPlot.Axis {
  return {
    stroke: cssColor('--ink-3'),
    font: FONT,
    grid: { stroke: cssColor('--line'), width: 1 },
    ticks: { show: false },
    size: 24,
    gap: 4,
    space: 70,
    values: (_, seconds, _axis, _space, stepS) =>
      seconds.map((s) => (stepS < 60 ? formatClock(s * 1000) : formatClockShort(s * 1000))),
  };
}

export function valueAxis(format: (value: number) => string): uPlot.Axis {
  return {
    stroke: cssColor('--ink-3'),
    font: FONT,
    grid: { stroke: cssColor('--line'), width: 1 },
    ticks: { show: false },
    size: 58,
    gap: 6,
    space: 24,
    values: (_, values) => values.map(format),
  };
}
