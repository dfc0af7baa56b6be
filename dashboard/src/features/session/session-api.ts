import { queryOptions } from '@tanstack/react-query';
import type { Session } from '@/api/types';
import { request } from '@/lib/api/client';
import { isSignedOut } from '@/lib/api/problem';

interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Who is signed in; null when nobody is. */
export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: fetchSession,
  staleTime: Infinity,
  retry: false,
});

export async function fetchSession(): Promise<Session | null> {
  try {
    return await request<Session>('/v1/session');
  } catch (error) {
    if (isSignedOut(error)) return null;
    throw error;
  }
}

export function signIn(credentials: Credentials): Promise<Session> {
  return request<Session>('/v1/session', { method: 'POST', body: credentials });
}

export function signOut(): Promise<void> {
  return request('/v1/session', { method: 'DELETE' });
}
