import { QueryCache, QueryClient } from '@tanstack/react-query';
import { sessionQuery } from '@/features/session/session-api';
import { ApiProblem, isSignedOut } from '@/lib/api/problem';

const MOST_RETRIES = 2;

/** A 401 from anywhere means that nobody is signed in any more. */
export function createQueryClient(onSignedOut: () => void): QueryClient {
  const client: QueryClient = new QueryClient({
    queryCache: new QueryCache({
      onError: (error) => {
        if (!isSignedOut(error)) return;
        client.setQueryData(sessionQuery.queryKey, null);
        onSignedOut();
      },
    }),
    defaultOptions: {
      queries: {
        staleTime: 30_000,
        refetchOnWindowFocus: false,
        retry: (failures, error) => failures < MOST_RETRIES && mayPass(error),
      },
    },
  });
  return client;
}

/** Trying again helps when the server was away or busy, not when it refused. */
function mayPass(error: unknown): boolean {
  return error instanceof ApiProblem && (error.status === 0 || error.status >= 500 || error.status === 429);
}
