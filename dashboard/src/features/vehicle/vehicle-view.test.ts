import { expect, test } from 'vitest';
import { fromSearch, toSearch } from './vehicle-view';

test('chosen charts survive the address, and so does having chosen none', () => {
  for (const search of [{}, { charts: 'A.X,pt:B.Y@00', minutes: '15' }, { charts: 'none' }]) {
    expect(toSearch(fromSearch(search))).toEqual(search);
  }
});

test('an unknown window is the shortest one', () => {
  expect(fromSearch({ minutes: '7' }).minutes).toBe(5);
});
