import { queryOptions } from '@tanstack/react-query';
import type { Session } from '@/api/types';
import { request } from '@/lib/api/client';
import { isSignedOut } from '@/lib/api/problem';
import { markSignedIn, mayBeSignedIn } from './sign-in-mark';

interface Credentials {
  readonly user: string;
  readonly password: string;
}

/** Who is signed in; null when nobody is. */
export const sessionQuery = queryOptions({
  queryKey: ['session'],
  queryFn: () => (mayBeSignedIn() ? fetchSession() : null),
  staleTime: Infinity,
  retry: false,
});

export async function fetchSession(): Promise<Session | null> {
  try {
    return await request<Session>('/v1/session');
  } catch (error) {
    if (!isSignedOut(error)) throw error;
    markSignedIn(false);
    return null;
  }
}

export async function signIn(credentials: Credentials): Promise<Session> {
  const session = await request<Session>('/v1/session', { method: 'POST', body: credentials });
  markSignedIn(true);
  return session;
}

export async function signOut(): Promise<void> {
  await request('/v1/session', { method: 'DELETE' });
  markSignedIn(false);
}
