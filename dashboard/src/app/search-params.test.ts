import { expect, test } from 'vitest';
import { parseSearch, stringifySearch } from './search-params';

test('text stays text, also when it looks like a number', () => {
  expect(stringifySearch({ q: '7', empty: '', absent: undefined })).toBe('?q=7');
  expect(parseSearch('?q=7&vehicle=a%20b')).toEqual({ q: '7', vehicle: 'a b' });
  expect(stringifySearch({})).toBe('');
});
