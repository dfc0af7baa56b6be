import { expect, test } from 'vitest';
import { fromLocalInput, parseSpan, presetSpan, toLocalInput, toRfc3339 } from './span';

const HOUR_MS = 3_600_000;
const at = (local: string) => new Date(local).getTime();

test('the tests run in a time zone with clock changes', () => {
  expect(new Date('2026-07-01T00:00').getTimezoneOffset()).toBe(-180);
});

test('presets mean local days', () => {
  const now = at('2026-05-12T14:30');
  expect(presetSpan('last-hour', now)).toEqual({ fromMs: now - HOUR_MS, toMs: now });
  expect(presetSpan('today', now)).toEqual({ fromMs: at('2026-05-12T00:00'), toMs: now });
  expect(presetSpan('yesterday', now)).toEqual({ fromMs: at('2026-05-11T00:00'), toMs: at('2026-05-12T00:00') });
});

test('a day with a clock change is 23 or 25 hours long', () => {
  const spring = presetSpan('yesterday', at('2026-03-30T12:00'));
  const autumn = presetSpan('yesterday', at('2026-10-26T12:00'));
  expect((spring.toMs - spring.fromMs) / HOUR_MS).toBe(23);
  expect((autumn.toMs - autumn.fromMs) / HOUR_MS).toBe(25);
});

test('a span survives the address', () => {
  const span = { fromMs: 1_790_000_000_123, toMs: 1_790_000_100_000 };
  expect(parseSpan(toRfc3339(span.fromMs), toRfc3339(span.toMs))).toEqual(span);
});

test.each([
  [undefined, undefined],
  ['2026-01-01T00:00:00Z', undefined],
  ['yesterday', '2026-01-01T00:00:00Z'],
  ['2026-01-02T00:00:00Z', '2026-01-01T00:00:00Z'],
  ['2026-01-01T00:00:00Z', '2026-01-01T00:00:00Z'],
])('%s to %s is no span', (from, to) => {
  expect(parseSpan(from, to)).toBeNull();
});

test('the input fields hold local time to the minute', () => {
  const ms = at('2026-05-12T14:30');
  expect(toLocalInput(ms)).toBe('2026-05-12T14:30');
  expect(fromLocalInput('2026-05-12T14:30')).toBe(ms);
  expect(fromLocalInput('')).toBeNaN();
});
