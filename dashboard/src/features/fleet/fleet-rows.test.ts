import { expect, test } from 'vitest';
import { position, vehicleView } from '@/testing/vehicles';
import { countStates, matching, sorted } from './fleet-rows';
import type { FleetFilter } from './fleet-rows';
import type { Sort } from './fleet-view';

const all = { query: '', states: [], sort: 'name' } as const;
const fleet = [
  vehicleView({ id: 't10', name: 'Truck 10', state: 'driving', lastSeenMs: 30, position: position({ speed: 50 }) }),
  vehicleView({ id: 't9', name: 'Truck 9', state: 'offline', lastSeenMs: null }),
  vehicleView({ id: 'van', name: 'Demo van', state: 'driving', lastSeenMs: 40, position: position({ speed: 80 }) }),
];
const fleetRows = (vehicles: typeof fleet, { sort, ...filter }: FleetFilter & { sort: Sort }) =>
  sorted(matching(vehicles, filter), sort);
const ids = (rows: readonly { id: string }[]) => rows.map(({ id }) => id);

test('names are in the order in which people count', () => {
  expect(ids(fleetRows(fleet, all))).toEqual(['van', 't9', 't10']);
});

test('every word must be in name or id, in any case', () => {
  expect(ids(fleetRows(fleet, { ...all, query: 'TRUCK 1' }))).toEqual(['t10']);
  expect(ids(fleetRows(fleet, { ...all, query: ' t9 ' }))).toEqual(['t9']);
  expect(fleetRows(fleet, { ...all, query: 'boat' })).toEqual([]);
});

test('filters by state, none chosen meaning all', () => {
  expect(ids(fleetRows(fleet, { ...all, states: ['offline'] }))).toEqual(['t9']);
  expect(fleetRows(fleet, all)).toHaveLength(3);
});

test('sorts by state, last seen and speed', () => {
  expect(ids(fleetRows(fleet, { ...all, sort: 'state' }))).toEqual(['van', 't10', 't9']);
  expect(ids(fleetRows(fleet, { ...all, sort: 'seen' }))).toEqual(['van', 't10', 't9']);
  expect(ids(fleetRows(fleet, { ...all, sort: 'speed' }))).toEqual(['van', 't10', 't9']);
});

test('counts all states', () => {
  expect(countStates(fleet)).toEqual({ driving: 2, idling: 0, parked: 0, offline: 1 });
});
