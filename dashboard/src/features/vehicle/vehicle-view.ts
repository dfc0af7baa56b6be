export const WINDOWS_MIN = [5, 15, 60] as const;
export type WindowMin = (typeof WINDOWS_MIN)[number];

export const MOST_CHARTS = 4;

/** What the vehicle page shows, kept in the address. `charts` undefined: nobody chose yet. */
export interface VehicleView {
  readonly charts: readonly string[] | undefined;
  readonly minutes: WindowMin;
}

export interface VehicleSearch {
  charts?: string;
  minutes?: string;
}

const NO_CHARTS = 'none';

export function fromSearch({ charts, minutes }: VehicleSearch): VehicleView {
  const names = charts === NO_CHARTS ? [] : charts?.split(',').filter(Boolean).slice(0, MOST_CHARTS);
  return { charts: names, minutes: WINDOWS_MIN.find((known) => String(known) === minutes) ?? 5 };
}

export function toSearch({ charts, minutes }: VehicleView): VehicleSearch {
  return {
    ...(charts === undefined ? {} : { charts: charts.length === 0 ? NO_CHARTS : charts.join(',') }),
    ...(minutes === 5 ? {} : { minutes: String(minutes) }),
  };
}
