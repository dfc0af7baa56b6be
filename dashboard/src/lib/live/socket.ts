import { backoffMs } from './backoff';
import { parseServerMessage } from './protocol';
import type { ServerMessage, SubscribeRequest, SubscriptionMessage } from './protocol';

export type Phase = 'idle' | 'connecting' | 'live' | 'stale' | 'reconnecting' | 'signed-out';

/** Where the connection stands; `retryAtMs` while it waits for its next attempt. */
export interface Connection {
  readonly phase: Phase;
  readonly retryAtMs: number | null;
}

/** The part of a browser's WebSocket that is used here; `never` because browser and fake differ in their events. */
export interface SocketLike {
  send(data: string): void;
  close(): void;
  onopen: ((event: never) => unknown) | null;
  onmessage: ((event: never) => unknown) | null;
  onclose: ((event: never) => unknown) | null;
}

export interface LiveSocketOptions {
  open: () => SocketLike;
  /** Asked after a failed attempt, because a browser hides the status of a refused upgrade. */
  isSignedIn: () => Promise<boolean>;
  random?: () => number;
  onServerTime?: (serverMs: number) => void;
  onMessage?: (message: ServerMessage) => void;
}

interface Subscription {
  readonly request: SubscribeRequest;
  readonly deliver: (message: SubscriptionMessage) => void;
}

const PING_EVERY_MS = 5_000;
const STALE_AFTER_MS = 12_000;
const DEAD_AFTER_MS = 25_000;

/**
 * One WebSocket to /v1/live that comes back by itself: jittered back-off, every subscription made again with its id,
 * and the snapshot that follows replaces what was missed.
 */
export class LiveSocket {
  private readonly options: LiveSocketOptions;
  private readonly subscriptions = new Map<number, Subscription>();
  private readonly listeners = new Set<() => void>();
  private socket: SocketLike | null = null;
  private isOpen = false;
  private attempt = 0;
  private nextId = 1;
  private heardAtMs = 0;
  private retryTimer: ReturnType<typeof setTimeout> | undefined;
  private pulseTimer: ReturnType<typeof setInterval> | undefined;
  private current: Connection = { phase: 'idle', retryAtMs: null };

  constructor(options: LiveSocketOptions) {
    this.options = options;
  }

  get connection(): Connection {
    return this.current;
  }

  readonly onConnection = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  start(): void {
    if (this.current.phase !== 'idle' && this.current.phase !== 'signed-out') return;
    this.attempt = 0;
    this.connect('connecting');
  }

  stop(): void {
    this.drop();
    this.become('idle');
  }

  /** Ends a wait at once, for when the network or the page came back. */
  retryNow(): void {
    if (this.current.phase !== 'reconnecting' || this.current.retryAtMs === null) return;
    clearTimeout(this.retryTimer);
    this.connect('reconnecting');
  }

  /** Delivers a snapshot, then changes, and a snapshot again after each reconnect. Returns the way to end it. */
  subscribe(request: SubscribeRequest, deliver: Subscription['deliver']): () => void {
    const id = this.nextId++;
    this.subscriptions.set(id, { request, deliver });
    if (this.isOpen) this.send({ op: 'subscribe', id, ...request });
    return () => {
      if (this.subscriptions.delete(id) && this.isOpen) this.send({ op: 'unsubscribe', id });
    };
  }

  private connect(phase: Phase): void {
    this.become(phase);
    const socket = this.options.open();
    this.socket = socket;
    socket.onopen = () => this.opened();
    socket.onmessage = (event: { readonly data: unknown }) => this.heard(event.data);
    socket.onclose = () => this.closed();
  }

  private opened(): void {
    this.isOpen = true;
    this.heardAtMs = Date.now();
    for (const [id, { request }] of this.subscriptions) this.send({ op: 'subscribe', id, ...request });
    this.pulseTimer = setInterval(() => this.pulse(), PING_EVERY_MS);
  }

  private heard(data: unknown): void {
    this.heardAtMs = Date.now();
    const message = parseServerMessage(data);
    if (message === null) return;
    this.attempt = 0;
    if (this.current.phase !== 'live') this.become('live');
    this.options.onMessage?.(message);
    if (message.op === 'hello') this.options.onServerTime?.(message.server_ms);
    if (message.op === 'snapshot' || message.op === 'update' || message.op === 'event') {
      this.subscriptions.get(message.id)?.deliver(message);
    }
  }

  private pulse(): void {
    const silentMs = Date.now() - this.heardAtMs;
    if (silentMs >= DEAD_AFTER_MS) {
      this.drop();
      this.wait();
      return;
    }
    if (silentMs >= STALE_AFTER_MS && this.current.phase === 'live') this.become('stale');
    this.send({ op: 'ping' });
  }

  private closed(): void {
    const everOpened = this.isOpen;
    this.drop();
    if (everOpened) {
      this.wait();
      return;
    }
    this.become('reconnecting');
    void this.options.isSignedIn().then((signedIn) => {
      if (this.current.phase !== 'reconnecting' || this.current.retryAtMs !== null || this.socket !== null) return;
      if (signedIn) this.wait();
      else this.become('signed-out');
    });
  }

  private wait(): void {
    const delayMs = backoffMs(this.attempt++, (this.options.random ?? Math.random)());
    this.retryTimer = setTimeout(() => this.connect('reconnecting'), delayMs);
    this.become('reconnecting', Date.now() + delayMs);
  }

  private drop(): void {
    clearTimeout(this.retryTimer);
    clearInterval(this.pulseTimer);
    this.isOpen = false;
    if (this.socket === null) return;
    const { socket } = this;
    this.socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private send(message: object): void {
    this.socket?.send(JSON.stringify(message));
  }

  private become(phase: Phase, retryAtMs: number | null = null): void {
    this.current = { phase, retryAtMs };
    for (const listener of this.listeners) listener();
  }
}
