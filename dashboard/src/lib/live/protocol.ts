// The messages of the WebSocket /v1/live, as documented in docs/api.md.

export const VEHICLE_STATES = ['driving', 'idling', 'parked', 'offline'] as const;
export type VehicleState = (typeof VEHICLE_STATES)[number];

/** Speed in km/h, course in degrees true, altitude in m, t in ms since the epoch. */
export interface Position {
  t: number;
  lat: number;
  lon: number;
  speed?: number | null;
  course?: number | null;
  alt?: number | null;
}

/** A signal's newest sample: time in ms since the epoch, value. */
export type SignalSample = readonly [tMs: number, value: number];

export interface LiveVehicle {
  id: string;
  name: string;
  state: VehicleState;
  last_seen: number | null;
  position: Position | null;
  signals: Record<string, SignalSample>;
}

/** What changed of a vehicle; what is absent stayed as it was. */
export type LiveVehiclePatch = Pick<LiveVehicle, 'id'> & Partial<LiveVehicle>;

export interface SubscribeRequest {
  vehicles: string[];
  signals: string[];
  max_hz?: number;
}

export type ServerMessage =
  | { op: 'hello'; server_ms: number; version: string }
  | { op: 'snapshot'; id: number; vehicles: LiveVehicle[] }
  | { op: 'update'; id: number; vehicles: LiveVehiclePatch[] }
  | { op: 'event'; id: number; vehicle: string; t: number; kind: string; data: unknown }
  | { op: 'error'; id?: number; problem: { title: string; detail?: string } }
  | { op: 'pong' };

export type SubscriptionMessage = Extract<ServerMessage, { op: 'snapshot' | 'update' | 'event' }>;

const OPERATIONS = new Set(['hello', 'snapshot', 'update', 'event', 'error', 'pong']);

/** The message in a WebSocket text frame, or null when it is none that this client knows. */
export function parseServerMessage(data: unknown): ServerMessage | null {
  if (typeof data !== 'string') return null;
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null || !('op' in value)) return null;
  return OPERATIONS.has(String(value.op)) ? (value as ServerMessage) : null;
}
