import { expect, test, vi } from 'vitest';
import { request, withQuery } from './client';
import { ApiProblem } from './problem';

test('repeats a parameter for each of its values and leaves out what is absent', () => {
  expect(withQuery('/v1/x', { signal: ['a b', 'c'], to: undefined, raw: true })).toBe(
    '/v1/x?signal=a+b&signal=c&raw=true',
  );
  expect(withQuery('/v1/x')).toBe('/v1/x');
});

test('a problem document becomes an error with its words', async () => {
  const body = JSON.stringify({ title: 'Too long a span', detail: 'Ask for less.' });
  vi.stubGlobal('fetch', () => Promise.resolve(new Response(body, { status: 400 })));
  const error = await request('/v1/x').catch((e: unknown) => e);
  expect(error).toBeInstanceOf(ApiProblem);
  expect(error).toMatchObject({ status: 400, title: 'Too long a span', detail: 'Ask for less.' });
});

test('a refusal that is no document still has its status', async () => {
  vi.stubGlobal('fetch', () => Promise.resolve(new Response('<html>', { status: 502 })));
  await expect(request('/v1/x')).rejects.toMatchObject({ status: 502, title: 'The server answered 502' });
});

test('an unreachable server is status 0', async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed')));
  await expect(request('/v1/x')).rejects.toMatchObject({ status: 0 });
});
