import { useEffect, useState, useSyncExternalStore } from 'react';
import { useLive } from '@/lib/live/live';
import type { SignalSample } from '@/lib/live/protocol';
import { SignalStore } from '@/lib/live/signal-store';

const MOST_UPDATES_HZ = 4;

/** A store fed with every signal of one vehicle for as long as the page is open. Give the page a `key` of the vehicle. */
export function useSignalStore(vehicleId: string): SignalStore {
  const { socket } = useLive();
  const [store] = useState(() => new SignalStore());
  useEffect(
    () => socket.subscribe({ vehicles: [vehicleId], signals: ['*'], max_hz: MOST_UPDATES_HZ }, store.receive),
    [socket, store, vehicleId],
  );
  return store;
}

export function useNewest(store: SignalStore, name: string): SignalSample | undefined {
  return useSyncExternalStore(store.subscribe, () => store.newest(name));
}

export function useSignalNames(store: SignalStore): readonly string[] {
  return useSyncExternalStore(store.subscribe, store.names);
}

export function useSnapshotCount(store: SignalStore): number {
  return useSyncExternalStore(store.subscribe, store.snapshotCount);
}

export function useStoreVersion(store: SignalStore): number {
  return useSyncExternalStore(store.subscribe, store.version);
}
