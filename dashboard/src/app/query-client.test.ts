import { expect, test, vi } from 'vitest';
import type { Session } from '@/api/types';
import { sessionQuery } from '@/features/session/session-api';
import { ApiProblem } from '@/lib/api/problem';
import { createQueryClient } from './query-client';

function failing(status: number) {
  return vi.fn(() => Promise.reject(new ApiProblem(status, 'no')));
}

test('a 401 from anywhere ends the session', async () => {
  const onSignedOut = vi.fn();
  const client = createQueryClient(onSignedOut);
  const session: Session = { user: 'admin', role: 'admin' };
  client.setQueryData(sessionQuery.queryKey, session);
  const ask = failing(401);
  await expect(client.fetchQuery({ queryKey: ['x'], queryFn: ask })).rejects.toThrow();
  expect(client.getQueryData(sessionQuery.queryKey)).toBeNull();
  expect(onSignedOut).toHaveBeenCalledOnce();
  expect(ask).toHaveBeenCalledOnce();
});

test('another refusal does not', async () => {
  const onSignedOut = vi.fn();
  await expect(createQueryClient(onSignedOut).fetchQuery({ queryKey: ['x'], queryFn: failing(404) })).rejects.toThrow();
  expect(onSignedOut).not.toHaveBeenCalled();
});
