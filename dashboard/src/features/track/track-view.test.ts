import { expect, test } from 'vitest';
import { presetSpan } from '@/lib/time/span';
import { presetOf, spanFromSearch, spanToSearch } from './track-view';

const now = new Date('2026-05-12T14:30').getTime();

test('without a span in the address it is the last hour', () => {
  expect(spanFromSearch({}, now)).toEqual({ fromMs: now - 3_600_000, toMs: now });
  expect(spanFromSearch({ from: 'soon', to: 'later' }, now).toMs).toBe(now);
});

test('a span survives the address', () => {
  const span = { fromMs: now - 7_000_000, toMs: now };
  expect(spanFromSearch(spanToSearch(span), now + 99_999)).toEqual(span);
});

test('a preset is known again shortly after, and another span is none', () => {
  expect(presetOf(presetSpan('yesterday', now), now + 60_000)).toBe('yesterday');
  expect(presetOf(presetSpan('last-hour', now), now + 30_000)).toBe('last-hour');
  expect(presetOf({ fromMs: now - 5_000_000, toMs: now }, now)).toBeNull();
});
