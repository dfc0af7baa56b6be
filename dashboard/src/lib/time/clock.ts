import { useSyncExternalStore } from 'react';

// The server's clock, as far as its greeting told: ages must not depend on a browser that is minutes off.
let offsetMs = 0;
const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let tickMs = Date.now();

export function setServerTime(serverMs: number): void {
  offsetMs = serverMs - Date.now();
}

export function serverNowMs(): number {
  return Date.now() + offsetMs;
}

/** The server's time, renewed each second for all who look at it. */
export function useNowMs(): number {
  return useSyncExternalStore(subscribe, () => tickMs);
}

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) {
    tick();
    timer = setInterval(tick, 1000);
  }
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) clearInterval(timer);
  };
}

function tick(): void {
  tickMs = serverNowMs();
  for (const listener of listeners) listener();
}
