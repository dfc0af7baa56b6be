import { expect, test } from 'vitest';
import { fromSearch, toSearch } from './fleet-view';

test('nothing chosen leaves the address bare', () => {
  expect(toSearch(fromSearch({}))).toEqual({});
});

test('a view survives the address', () => {
  const search = { q: 'van', state: 'driving,offline', sort: 'speed', vehicle: 't1', view: 'list' };
  expect(toSearch(fromSearch(search))).toEqual(search);
});

test('what an address must not say is left out', () => {
  expect(fromSearch({ state: 'flying,parked', sort: 'colour', view: 'globe' })).toEqual({
    query: '',
    states: ['parked'],
    sort: 'name',
    selectedId: undefined,
    pane: 'map',
  });
});
