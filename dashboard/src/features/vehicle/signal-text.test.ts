import { expect, test } from 'vitest';
import { signalText } from './signal-text';

const info = { name: 'M.S', unit: 'V', min: null, max: null, choices: null };

test('a number with its unit', () => {
  expect(signalText(12.5, info)).toBe('12.5 V');
  expect(signalText(12.5, undefined)).toBe('12.5');
});

test('the word of the value table instead of the number', () => {
  const gear = { ...info, unit: null, choices: { '0': 'Neutral', '1': 'First' } };
  expect(signalText(1, gear)).toBe('First');
  expect(signalText(7, gear)).toBe('7');
});
