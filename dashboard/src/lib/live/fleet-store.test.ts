import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { liveVehicle, position } from '@/testing/vehicles';
import { FleetStore } from './fleet-store';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

function storeOf(...vehicles: ReturnType<typeof liveVehicle>[]): FleetStore {
  const store = new FleetStore();
  store.replace(vehicles);
  return store;
}

test('is not loaded before the first snapshot, even when that is empty', () => {
  const store = new FleetStore();
  expect(store.isLoaded).toBe(false);
  store.replace([]);
  expect(store.isLoaded).toBe(true);
  expect(store.all()).toEqual([]);
});

test('a snapshot replaces everything, also what it does not name', () => {
  const store = storeOf(liveVehicle({ id: 'a' }), liveVehicle({ id: 'b' }));
  store.replace([liveVehicle({ id: 'b', name: 'Beta' })]);
  vi.advanceTimersByTime(500);
  expect(store.all().map(({ name }) => name)).toEqual(['Beta']);
  expect(store.find('a')).toBeUndefined();
});

test('a vehicle in a reused place starts empty', () => {
  const store = storeOf(liveVehicle({ id: 'a', position: position({ lat: 1 }) }));
  store.replace([]);
  store.merge([{ id: 'z' }]);
  expect(store.find('z')).toEqual({ id: 'z', name: 'z', state: 'offline', lastSeenMs: null, position: null });
});

test('an update changes only what it carries', () => {
  const store = storeOf(liveVehicle({ id: 'a', name: 'Alpha', position: position({ lat: 60.5 }) }));
  store.merge([{ id: 'a', state: 'driving', last_seen: 5_000 }]);
  expect(store.find('a')).toMatchObject({
    name: 'Alpha',
    state: 'driving',
    lastSeenMs: 5_000,
    position: { lat: 60.5 },
  });
});

test('null in an update clears', () => {
  const store = storeOf(liveVehicle({ id: 'a', position: position() }));
  store.merge([{ id: 'a', position: null, last_seen: null }]);
  expect(store.find('a')).toMatchObject({ position: null, lastSeenMs: null });
});

test('absent numbers of a position are null, zero stays zero', () => {
  const store = storeOf(liveVehicle({ id: 'a', position: { t: 1, lat: 0, lon: 0, speed: 0 } }));
  expect(store.find('a')?.position).toEqual({ t: 1, lat: 0, lon: 0, speed: 0, course: null, alt: null });
});

test('a vehicle that was not touched stays the same object', () => {
  const store = storeOf(liveVehicle({ id: 'a' }), liveVehicle({ id: 'b' }));
  const [a, b] = [store.find('a'), store.find('b')];
  store.merge([{ id: 'b', state: 'driving' }]);
  expect(store.find('a')).toBe(a);
  expect(store.find('b')).not.toBe(b);
});

test('holds more vehicles than it first made room for', () => {
  const many = Array.from({ length: 1_000 }, (_, i) =>
    liveVehicle({ id: `v${i}`, position: position({ lat: i / 100 }) }),
  );
  const store = storeOf(...many);
  expect(store.size).toBe(1_000);
  expect(store.find('v999')?.position?.lat).toBe(9.99);
  expect(store.find('v0')?.position?.lat).toBe(0);
});

test('a burst of updates is told once, with the last value', () => {
  const store = storeOf(liveVehicle({ id: 'a' }));
  const listener = vi.fn();
  store.subscribe(listener);
  for (let i = 1; i <= 100; i++) store.merge([{ id: 'a', last_seen: i }]);
  vi.advanceTimersByTime(500);
  expect(listener).toHaveBeenCalledOnce();
  expect(store.all()[0]?.lastSeenMs).toBe(100);
});
