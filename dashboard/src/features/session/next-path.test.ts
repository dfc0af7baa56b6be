import { expect, test } from 'vitest';
import { safeNextPath } from './next-path';

test.each([
  ['/vehicles/a?charts=B.C', '/vehicles/a?charts=B.C'],
  [undefined, '/'],
  ['https://evil.example', '/'],
  ['//evil.example', '/'],
  ['/\\evil.example', '/'],
  ['/sign-in?next=/sign-in', '/'],
])('after signing in, %s leads to %s', (next, path) => {
  expect(safeNextPath(next)).toBe(path);
});
