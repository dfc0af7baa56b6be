import { expect, test } from 'vitest';
import { defaultCharts, signalRows } from './signal-rows';

const shape = (names: string[], query = '') =>
  signalRows(names, query).map((row) => (row.kind === 'message' ? `# ${row.name.message}` : row.label));

test('signals stand under their messages, each once', () => {
  expect(shape(['B.X', 'A.Z', 'A.Y', 'A.Y'])).toEqual(['# A', 'Y', 'Z', '# B', 'X']);
});

test('one message on two buses or from two sources is two groups', () => {
  expect(shape(['one:A.Y', 'two:A.Y', 'A.Y@00', 'A.Y@01']).filter((row) => row.startsWith('#'))).toHaveLength(4);
});

test('the search looks at the whole name', () => {
  expect(shape(['Engine.Speed', 'Body.Speed', 'Engine.Load'], 'engine sp')).toEqual(['# Engine', 'Speed']);
});

test('speed and engine speed are charted first', () => {
  expect(defaultCharts(['Body.Door', 'Engine.EngineSpeed', 'Motion.VehicleSpeed'])).toEqual([
    'Motion.VehicleSpeed',
    'Engine.EngineSpeed',
  ]);
  expect(defaultCharts(['Body.Door', 'Body.Horn'])).toEqual(['Body.Door']);
  expect(defaultCharts([])).toEqual([]);
});
