import { expect, test, vi } from 'vitest';
import { liveVehicle } from '@/testing/vehicles';
import { SignalStore } from './signal-store';

test('keeps the newest sample of each signal and its points in order', () => {
  const store = new SignalStore();
  store.merge({ 'M.A': [1_000, 1] });
  store.merge({ 'M.A': [2_000, 2], 'M.B': [2_000, 9] });
  expect(store.newest('M.A')).toEqual([2_000, 2]);
  expect(store.since('M.A')).toEqual({ t: [1_000, 2_000], v: [1, 2] });
  expect(store.names()).toEqual(['M.A', 'M.B']);
});

test('an older sample changes nothing', () => {
  const store = new SignalStore();
  store.merge({ 'M.A': [2_000, 2] });
  store.merge({ 'M.A': [1_000, 1] });
  expect(store.newest('M.A')).toEqual([2_000, 2]);
  expect(store.since('M.A').t).toEqual([2_000]);
});

test('a snapshot after a reconnect adds no second point for a sample that is known', () => {
  const store = new SignalStore();
  const snapshot = { op: 'snapshot', id: 1, vehicles: [liveVehicle({ signals: { 'M.A': [1_000, 1] } })] } as const;
  store.receive({ ...snapshot, vehicles: [...snapshot.vehicles] });
  store.receive({ ...snapshot, vehicles: [...snapshot.vehicles] });
  expect(store.since('M.A').t).toEqual([1_000]);
  expect(store.snapshotCount()).toBe(2);
});

test('an update without signals is welcome', () => {
  const store = new SignalStore();
  const listener = vi.fn();
  store.subscribe(listener);
  store.receive({ op: 'update', id: 1, vehicles: [{ id: 'a', state: 'driving' }] });
  expect(store.names()).toEqual([]);
  expect(listener).toHaveBeenCalledOnce();
});

test('names are the same array until a new signal comes', () => {
  const store = new SignalStore();
  store.merge({ 'M.A': [1, 1] });
  const names = store.names();
  store.merge({ 'M.A': [2, 2] });
  expect(store.names()).toBe(names);
  store.merge({ 'M.0': [2, 2] });
  expect(store.names()).toEqual(['M.0', 'M.A']);
});

test('memory is bounded, and the newest points stay', () => {
  const store = new SignalStore();
  for (let i = 0; i < 30_000; i++) store.merge({ 'M.A': [i * 100, i] });
  const { t, v } = store.since('M.A');
  expect(t.length).toBeLessThanOrEqual(20_000);
  expect(v.at(-1)).toBe(29_999);
  expect(t.length).toBe(v.length);
});
