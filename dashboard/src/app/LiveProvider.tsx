import { useQueryClient } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { useEffect, useState } from 'react';
import type { ReactNode } from 'react';
import { fetchSession, sessionQuery } from '@/features/session/session-api';
import { LiveContext } from '@/lib/live/live';
import { createLive } from './create-live';

const WHOLE_FLEET = { vehicles: ['*'], signals: [], max_hz: 2 };

/** Keeps one socket open while somebody is signed in, and the fleet store fed from it. */
export function LiveProvider({ children }: { readonly children: ReactNode }) {
  const [live] = useState(() => createLive(isSignedIn));
  const queryClient = useQueryClient();
  const router = useRouter();

  useEffect(() => {
    const unsubscribe = live.socket.subscribe(WHOLE_FLEET, live.fleet.receive);
    live.socket.start();
    return () => {
      unsubscribe();
      live.socket.stop();
    };
  }, [live]);

  useEffect(
    () =>
      live.socket.onConnection(() => {
        if (live.socket.connection.phase !== 'signed-out') return;
        queryClient.setQueryData(sessionQuery.queryKey, null);
        void router.invalidate();
      }),
    [live, queryClient, router],
  );

  useEffect(() => {
    const retry = () => {
      if (document.visibilityState === 'visible') live.socket.retryNow();
    };
    addEventListener('online', retry);
    document.addEventListener('visibilitychange', retry);
    return () => {
      removeEventListener('online', retry);
      document.removeEventListener('visibilitychange', retry);
    };
  }, [live]);

  return <LiveContext value={live}>{children}</LiveContext>;
}

/** Only a clear "no" signs out: while the server is away nobody knows, and the socket goes on trying. */
async function isSignedIn(): Promise<boolean> {
  try {
    return (await fetchSession()) !== null;
  } catch {
    return true;
  }
}
