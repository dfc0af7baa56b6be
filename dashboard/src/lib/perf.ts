/** Figures that tests and benchmarks read from the page. Times in ms of performance.now(). */
export interface Perf {
  messages: number;
  lastMessageAt: number;
  lastServerMessageKind: string;
  mapUpdates: number;
  lastMapUpdateMs: number;
  lastMapUpdateAt: number;
}

declare global {
  interface Window {
    __perf: Perf;
    __fleetwire: { ready: boolean; vehicles: number; connection: string; mapReady: boolean };
  }
}

export const perf: Perf = {
  messages: 0,
  lastMessageAt: 0,
  lastServerMessageKind: '',
  mapUpdates: 0,
  lastMapUpdateMs: 0,
  lastMapUpdateAt: 0,
};

export const pageState: Window['__fleetwire'] = { ready: false, vehicles: 0, connection: 'idle', mapReady: false };

export function exposePerf(): void {
  window.__perf = perf;
  window.__fleetwire = pageState;
}
