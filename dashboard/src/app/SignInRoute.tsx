import { useQueryClient } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { safeNextPath } from '@/features/session/next-path';
import { sessionQuery } from '@/features/session/session-api';
import { SignInPage } from '@/features/session/SignInPage';

export function SignInRoute() {
  const { next, reason } = useSearch({ from: '/sign-in' });
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  return (
    <SignInPage
      hasExpired={reason === 'expired'}
      onSignedIn={(session) => {
        queryClient.clear();
        queryClient.setQueryData(sessionQuery.queryKey, session);
        void navigate({ href: safeNextPath(next), replace: true });
      }}
    />
  );
}
