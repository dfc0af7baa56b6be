import { expect, test } from 'vitest';
import { parseSignalName, signalLabel } from './signal-name';

const parts = { bus: null, source: null, aggregate: null };

test.each([
  ['EEC1.EngineSpeed', { ...parts, message: 'EEC1', signal: 'EngineSpeed' }],
  ['EEC1.EngineSpeed@00', { ...parts, message: 'EEC1', signal: 'EngineSpeed', source: '00' }],
  ['pt:EEC1.EngineSpeed', { ...parts, message: 'EEC1', signal: 'EngineSpeed', bus: 'pt' }],
  ['EEC1.EngineSpeed:mean', { ...parts, message: 'EEC1', signal: 'EngineSpeed', aggregate: 'mean' }],
  ['pt:EEC1.EngineSpeed@2A:max', { bus: 'pt', message: 'EEC1', signal: 'EngineSpeed', source: '2A', aggregate: 'max' }],
  ['Speed', { ...parts, message: '', signal: 'Speed' }],
])('%s', (name, expected) => {
  expect(parseSignalName(name)).toEqual(expected);
});

test('an aggregate is part of the label', () => {
  expect(signalLabel(parseSignalName('M.Speed:max'))).toBe('Speed (max)');
});
