import { expect, test } from 'vitest';
import { formatAge, formatAgo, formatCourse, formatDistance, formatDuration, formatSpeed, formatValue } from './format';

test.each([
  [0, '0'],
  [128340, '128340'],
  [-7, '-7'],
  [0.1 + 0.2, '0.3'],
  [99999.96, '100000'],
  [27.612244, '27.6122'],
  [1234567.891, '1234568'],
  [3.2e12, '3200000000000'],
  [1.5e-7, '1.500e-7'],
  [4.56e15 + 0.5, '4.560e+15'],
])('value %d reads %s', (value, shown) => {
  expect(formatValue(value)).toBe(shown);
});

test.each([
  [-500, 'now'],
  [1_999, 'now'],
  [2_000, '2 s'],
  [59_999, '59 s'],
  [60_000, '1 min'],
  [3_599_000, '59 min'],
  [3_600_000, '1 h'],
  [47 * 3_600_000, '47 h'],
  [48 * 3_600_000, '2 d'],
])('age of %d ms reads %s', (ms, shown) => {
  expect(formatAge(ms)).toBe(shown);
});

test('ago', () => {
  expect(formatAgo(500)).toBe('just now');
  expect(formatAgo(65_000)).toBe('1 min ago');
});

test.each([
  [999.4, '999 m'],
  [1_000, '1.0 km'],
  [40_579, '40.6 km'],
  [123_456, '123 km'],
])('distance of %d m reads %s', (metres, shown) => {
  expect(formatDistance(metres)).toBe(shown);
});

test.each([
  [48_000, '48 s'],
  [720_000, '12 min'],
  [11_100_000, '3 h 05 min'],
])('duration of %d ms reads %s', (ms, shown) => {
  expect(formatDuration(ms)).toBe(shown);
});

test.each([
  [0, 'N, 0°'],
  [42, 'NE, 42°'],
  [359.7, 'N, 0°'],
  [-90, 'W, 270°'],
  [null, '–'],
])('course %s reads %s', (degrees, shown) => {
  expect(formatCourse(degrees)).toBe(shown);
});

test('an unknown speed is not zero', () => {
  expect(formatSpeed(null)).toBe('–');
  expect(formatSpeed(0)).toBe('0 km/h');
});
