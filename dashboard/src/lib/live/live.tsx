import { createContext, useContext, useSyncExternalStore } from 'react';
import type { FleetStore, VehicleView } from './fleet-store';
import type { Connection, LiveSocket } from './socket';

/** What a signed-in page has at hand: one socket, one fleet. */
export interface Live {
  readonly socket: LiveSocket;
  readonly fleet: FleetStore;
}

export const LiveContext = createContext<Live | null>(null);

export function useLive(): Live {
  const live = useContext(LiveContext);
  if (live === null) throw new Error('useLive needs a LiveContext above it');
  return live;
}

export function useConnection(): Connection {
  const { socket } = useLive();
  return useSyncExternalStore(socket.onConnection, () => socket.connection);
}

/** All vehicles in the server's order; a new array at most twice a second. */
export function useFleet(): readonly VehicleView[] {
  const { fleet } = useLive();
  return useSyncExternalStore(fleet.subscribe, fleet.all);
}

export function useFleetLoaded(): boolean {
  const { fleet } = useLive();
  return useSyncExternalStore(fleet.subscribe, () => fleet.isLoaded);
}

export function useVehicle(id: string | undefined): VehicleView | undefined {
  const { fleet } = useLive();
  return useSyncExternalStore(fleet.subscribe, () => (id === undefined ? undefined : fleet.find(id)));
}
