import { expect, test } from 'vitest';
import { parseServerMessage } from './protocol';

test('takes the messages that it knows', () => {
  expect(parseServerMessage('{"op":"pong"}')).toEqual({ op: 'pong' });
});

test.each([['{"op":"new-thing"}'], ['{'], ['null'], ['[]'], ['7'], [new ArrayBuffer(2)]])('leaves out %s', (data) => {
  expect(parseServerMessage(data)).toBeNull();
});
