import { expect, test } from 'vitest';
import { chartColumns } from './chart-data';

const history = { unit: 'V', t: [1_000, 2_000], min: [0, 1], max: [2, 3], mean: [1, 2], n: [5, 5] };

test('live points follow the history without a repeat', () => {
  const [t, max, min, mean] = chartColumns(history, { t: [1_500, 2_000, 3_000], v: [7, 8, 9] }, 0);
  expect(t).toEqual([1, 2, 3]);
  expect(max).toEqual([2, 3, 9]);
  expect(min).toEqual([0, 1, 9]);
  expect(mean).toEqual([1, 2, 9]);
});

test('what is older than the window is left out', () => {
  const [t] = chartColumns(history, { t: [2_500, 3_000], v: [7, 8] }, 2_000);
  expect(t).toEqual([2, 2.5, 3]);
});

test('a long step breaks the line', () => {
  const [t, , , mean] = chartColumns(history, { t: [100_000], v: [7] }, 0);
  expect(t).toEqual([1, 2, 2.001, 100]);
  expect(mean).toEqual([1, 2, null, 7]);
});

test('nothing at all is an empty chart', () => {
  const none = { unit: null, t: [], min: [], max: [], mean: [], n: [] };
  expect(chartColumns(none, { t: [], v: [] }, 0)).toEqual([[], [], [], []]);
});
