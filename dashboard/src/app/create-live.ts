import { FleetStore } from '@/lib/live/fleet-store';
import type { Live } from '@/lib/live/live';
import { LiveSocket } from '@/lib/live/socket';
import { pageState, perf } from '@/lib/perf';
import { setServerTime } from '@/lib/time/clock';

/** The live parts, wired to this page's own server. Nothing is opened before `socket.start()`. */
export function createLive(isSignedIn: () => Promise<boolean>): Live {
  const fleet = new FleetStore();
  const socket = new LiveSocket({
    open: () => new WebSocket(liveUrl(location)),
    isSignedIn,
    onServerTime: setServerTime,
    onMessage: (message) => {
      perf.messages += 1;
      perf.lastMessageAt = performance.now();
      perf.lastServerMessageKind = message.op;
    },
  });
  const show = () => {
    pageState.vehicles = fleet.size;
    pageState.connection = socket.connection.phase;
    pageState.ready = fleet.isLoaded && socket.connection.phase === 'live';
  };
  fleet.subscribe(show);
  socket.onConnection(show);
  return { socket, fleet };
}

export function liveUrl({ protocol, host }: { readonly protocol: string; readonly host: string }): string {
  return `${protocol === 'https:' ? 'wss' : 'ws'}://${host}/v1/live`;
}
