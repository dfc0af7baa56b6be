import { expect, test } from 'vitest';
import { Trail } from './trail';

const lines = (trail: Trail) => trail.toGeoJson().features.map(({ geometry }) => geometry.coordinates);

test('live points go on where the stored way ends', () => {
  const trail = new Trail();
  trail.add(2_000, [2, 0]);
  trail.add(3_000, [3, 0]);
  trail.load({
    timesMs: [1_000, 2_000],
    coordinates: [
      [1, 0],
      [2, 0],
    ],
    speedsKmh: [null, null],
  });
  expect(lines(trail)).toEqual([
    [
      [1, 0],
      [2, 0],
      [3, 0],
    ],
  ]);
});

test('a long silence breaks the line', () => {
  const trail = new Trail();
  for (const [t, x] of [
    [0, 0],
    [1_000, 1],
    [901_000, 5],
    [902_000, 6],
  ] as const)
    trail.add(t, [x, 0]);
  expect(lines(trail)).toEqual([
    [
      [0, 0],
      [1, 0],
    ],
    [
      [5, 0],
      [6, 0],
    ],
  ]);
});

test('a fix that is not newer is not drawn, and one point is no line', () => {
  const trail = new Trail();
  trail.add(1_000, [1, 0]);
  trail.add(1_000, [1, 0]);
  trail.add(500, [0, 0]);
  expect(lines(trail)).toEqual([]);
});
