import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Merger } from './merger';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test('the first call after a pause acts at once', () => {
  const act = vi.fn();
  new Merger(500, act).request();
  expect(act).toHaveBeenCalledOnce();
});

test('all calls of an interval become one at its end', () => {
  const act = vi.fn();
  const merger = new Merger(500, act);
  merger.request();
  merger.request();
  merger.request();
  expect(act).toHaveBeenCalledTimes(1);
  vi.advanceTimersByTime(500);
  expect(act).toHaveBeenCalledTimes(2);
  vi.advanceTimersByTime(5_000);
  expect(act).toHaveBeenCalledTimes(2);
});

test('nothing acts after cancel', () => {
  const act = vi.fn();
  const merger = new Merger(500, act);
  merger.request();
  merger.request();
  merger.cancel();
  vi.advanceTimersByTime(5_000);
  expect(act).toHaveBeenCalledTimes(1);
});
