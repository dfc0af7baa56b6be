import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FakeSocket } from '@/testing/fake-socket';
import { LiveSocket } from './socket';

const HELLO = { op: 'hello', server_ms: 1_000, version: '0.1.0' };

let opened: FakeSocket[];
let signedIn: boolean;

beforeEach(() => {
  vi.useFakeTimers();
  opened = [];
  signedIn = true;
});

afterEach(() => {
  vi.useRealTimers();
});

function createSocket(options: { onServerTime?: (ms: number) => void } = {}) {
  return new LiveSocket({
    open: () => {
      const socket = new FakeSocket();
      opened.push(socket);
      return socket;
    },
    isSignedIn: () => Promise.resolve(signedIn),
    random: () => 0.5,
    ...options,
  });
}

function last(): FakeSocket {
  return opened.at(-1) as FakeSocket;
}

function connected(live: LiveSocket): FakeSocket {
  live.start();
  last().serverAccepts();
  last().serverSends(HELLO);
  return last();
}

test('goes live with the first message and passes on the server time', () => {
  const onServerTime = vi.fn();
  const live = createSocket({ onServerTime });
  expect(live.connection.phase).toBe('idle');
  live.start();
  expect(live.connection.phase).toBe('connecting');
  last().serverAccepts();
  last().serverSends(HELLO);
  expect(live.connection.phase).toBe('live');
  expect(onServerTime).toHaveBeenCalledWith(1_000);
});

test('subscribes what was asked for before and after the connection opened', () => {
  const live = createSocket();
  live.subscribe({ vehicles: ['*'], signals: [], max_hz: 2 }, vi.fn());
  const socket = connected(live);
  live.subscribe({ vehicles: ['a'], signals: ['*'] }, vi.fn());
  expect(socket.sent).toEqual([
    { op: 'subscribe', id: 1, vehicles: ['*'], signals: [], max_hz: 2 },
    { op: 'subscribe', id: 2, vehicles: ['a'], signals: ['*'] },
  ]);
});

test('delivers each message to its own subscription only', () => {
  const live = createSocket();
  const [fleet, vehicle] = [vi.fn(), vi.fn()];
  live.subscribe({ vehicles: ['*'], signals: [] }, fleet);
  live.subscribe({ vehicles: ['a'], signals: ['*'] }, vehicle);
  connected(live).serverSends({ op: 'update', id: 2, vehicles: [{ id: 'a' }] });
  expect(fleet).not.toHaveBeenCalled();
  expect(vehicle).toHaveBeenCalledOnce();
});

test('an ended subscription is told to the server and hears nothing more', () => {
  const live = createSocket();
  const deliver = vi.fn();
  const end = live.subscribe({ vehicles: ['a'], signals: ['*'] }, deliver);
  const socket = connected(live);
  end();
  socket.serverSends({ op: 'update', id: 1, vehicles: [] });
  expect(socket.sent.at(-1)).toEqual({ op: 'unsubscribe', id: 1 });
  expect(deliver).not.toHaveBeenCalled();
});

test('comes back after a loss and subscribes again with the same id', () => {
  const live = createSocket();
  const deliver = vi.fn();
  live.subscribe({ vehicles: ['*'], signals: [] }, deliver);
  connected(live).serverCloses();
  expect(live.connection.phase).toBe('reconnecting');
  expect(live.connection.retryAtMs).toBe(Date.now() + 375);

  vi.advanceTimersByTime(375);
  expect(opened).toHaveLength(2);
  last().serverAccepts();
  expect(last().sent).toEqual([{ op: 'subscribe', id: 1, vehicles: ['*'], signals: [] }]);
  last().serverSends({ op: 'snapshot', id: 1, vehicles: [] });
  expect(live.connection.phase).toBe('live');
  expect(deliver).toHaveBeenCalledOnce();
});

test('waits longer with every failed attempt, and short again after a success', async () => {
  const live = createSocket();
  connected(live).serverCloses();
  const waits: number[] = [];
  for (let i = 0; i < 4; i++) {
    waits.push((live.connection.retryAtMs ?? 0) - Date.now());
    await vi.advanceTimersByTimeAsync(waits.at(-1) ?? 0);
    last().serverCloses();
    await vi.advanceTimersByTimeAsync(0);
  }
  expect(waits).toEqual([375, 625, 1125, 2125]);

  await vi.advanceTimersByTimeAsync(20_000);
  last().serverAccepts();
  last().serverSends(HELLO);
  last().serverCloses();
  expect((live.connection.retryAtMs ?? 0) - Date.now()).toBe(375);
});

test('a refused attempt without a session signs out and does not try again', async () => {
  const live = createSocket();
  signedIn = false;
  live.start();
  last().serverCloses();
  await vi.advanceTimersByTimeAsync(60_000);
  expect(live.connection.phase).toBe('signed-out');
  expect(opened).toHaveLength(1);
});

test('silence makes it stale, the next message live again', () => {
  const live = createSocket();
  const socket = connected(live);
  vi.advanceTimersByTime(15_000);
  expect(live.connection.phase).toBe('stale');
  expect(socket.sent.filter(({ op }) => op === 'ping')).toHaveLength(3);
  socket.serverSends({ op: 'pong' });
  expect(live.connection.phase).toBe('live');
});

test('a connection that stays silent is given up and made again', () => {
  const live = createSocket();
  const socket = connected(live);
  vi.advanceTimersByTime(25_000);
  expect(socket.isClosed).toBe(true);
  expect(live.connection.phase).toBe('reconnecting');
  vi.advanceTimersByTime(500);
  expect(opened).toHaveLength(2);
});

test('a wait ends at once when asked', () => {
  const live = createSocket();
  connected(live).serverCloses();
  live.retryNow();
  expect(opened).toHaveLength(2);
  vi.advanceTimersByTime(60_000);
  expect(opened).toHaveLength(2);
});

test('nothing happens after stop', () => {
  const live = createSocket();
  const socket = connected(live);
  live.stop();
  expect(socket.isClosed).toBe(true);
  vi.advanceTimersByTime(120_000);
  expect(opened).toHaveLength(1);
  expect(live.connection.phase).toBe('idle');
});

test('a message that is not understood changes nothing', () => {
  const live = createSocket();
  live.start();
  last().serverAccepts();
  last().serverSends({ op: 'surprise' });
  expect(live.connection.phase).toBe('connecting');
});
