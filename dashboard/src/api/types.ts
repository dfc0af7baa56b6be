import type { Position, VehicleState } from '@/lib/live/protocol';

export interface Session {
  user: string;
  role: string;
}

export interface Vehicle {
  id: string;
  name: string;
  state: VehicleState;
  last_seen: number | null;
  position: Position | null;
}

export interface SignalInfo {
  name: string;
  unit: string;
  min: number | null;
  max: number | null;
  choices: Record<string, string> | null;
}

export interface SeriesColumns {
  unit: string;
  t: number[];
  min: (number | null)[];
  max: (number | null)[];
  mean: (number | null)[];
  n: number[];
}

export interface TrackFeature {
  type: 'Feature';
  geometry: { type: 'LineString'; coordinates: number[][] };
  properties: { vehicle: string; from: string; to: string; times: number[]; speeds: (number | null)[] };
}
