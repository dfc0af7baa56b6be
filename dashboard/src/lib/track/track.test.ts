import { expect, test } from 'vitest';
import { distanceM, summarise, toTrack, trackBounds } from './track';

const properties = { vehicle: 'a', from: 0, to: 1, times: [1_000, 2_000, 4_000], speeds: [10, null, 30], next: null };
const coordinates = [
  [25, 60],
  [25.01, 60, 12],
  [25.02, 60],
];

test('one degree of the meridian is 111.2 km', () => {
  expect(distanceM([25, 60], [25, 61])).toBeCloseTo(111_195, -1);
});

test('a summary adds the steps and knows the ends', () => {
  const track = toTrack({ type: 'Feature', geometry: { type: 'LineString', coordinates }, properties });
  const summary = summarise(track);
  expect(summary).toMatchObject({ firstMs: 1_000, lastMs: 4_000, topSpeedKmh: 30, fixes: 3 });
  expect(summary?.lengthM).toBeCloseTo(distanceM([25, 60], [25.01, 60]) * 2, 1);
  expect(trackBounds(track)).toEqual([25, 60, 25.02, 60]);
});

test('one fix is a track of no length', () => {
  const one = { ...properties, times: [5], speeds: [null] };
  const track = toTrack({ type: 'Feature', geometry: { type: 'Point', coordinates: [1, 2] }, properties: one });
  expect(summarise(track)).toEqual({ lengthM: 0, firstMs: 5, lastMs: 5, topSpeedKmh: null, fixes: 1 });
});

test('no fix has no summary', () => {
  const none = { ...properties, times: [], speeds: [] };
  expect(summarise(toTrack({ type: 'Feature', geometry: null, properties: none }))).toBeNull();
});
