import { expect, test } from 'vitest';
import { backoffMs } from './backoff';

test('the first wait is short and the longest is bounded', () => {
  expect(backoffMs(0, 0.999)).toBeLessThanOrEqual(500);
  expect(backoffMs(50, 0.999)).toBeLessThanOrEqual(8_000);
});

test('waits double until the bound', () => {
  const ceilings = [0, 1, 2, 3].map((attempt) => backoffMs(attempt, 1));
  expect(ceilings).toEqual([500, 1000, 2000, 4000]);
});

test('chance spreads clients that lost the server together', () => {
  expect(backoffMs(4, 0)).toBe(250);
  expect(backoffMs(4, 0.5)).toBe(4125);
});
