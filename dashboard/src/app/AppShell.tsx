import { useMutation, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useNavigate, useRouteContext } from '@tanstack/react-router';
import { CircleUserRound } from 'lucide-react';
import { Menu } from '@/components/Menu/Menu';
import { Wordmark } from '@/components/Wordmark/Wordmark';
import { sessionQuery, signOut } from '@/features/session/session-api';
import { text } from '@/lib/text';
import { THEME_CHOICES, useTheme } from '@/lib/theme';
import styles from './AppShell.module.css';
import { ConnectionBanner, ConnectionLight } from './ConnectionState';
import { LiveProvider } from './LiveProvider';

export function AppShell() {
  return (
    <LiveProvider>
      <div className={styles['shell']}>
        <a className="skip-link" href="#content">
          {text.skipToContent}
        </a>
        <header className={styles['bar']}>
          <Link to="/" className={styles['home']} aria-label={text.product}>
            <Wordmark />
          </Link>
          <nav aria-label={text.nav.main} className={styles['nav']}>
            <Link to="/" activeOptions={{ exact: true, includeSearch: false }}>
              {text.nav.fleet}
            </Link>
          </nav>
          <ConnectionLight />
          <AccountMenu />
        </header>
        <ConnectionBanner />
        <main id="content" className={styles['content']} tabIndex={-1}>
          <Outlet />
        </main>
      </div>
    </LiveProvider>
  );
}

function AccountMenu() {
  const { session } = useRouteContext({ from: '/signed-in' });
  const { choice, choose } = useTheme();
  const queryClient = useQueryClient();
  const navigate = useNavigate();
  const leave = useMutation({
    mutationFn: signOut,
    onSuccess: () => {
      queryClient.setQueryData(sessionQuery.queryKey, null);
      void navigate({ to: '/sign-in', search: {} });
    },
  });
  return (
    <Menu
      label={text.session.account(session.user)}
      trigger={
        <>
          <CircleUserRound size={20} aria-hidden />
          <span className={styles['user']}>{session.user}</span>
        </>
      }
      groups={[
        {
          title: text.theme.label,
          showTitle: true,
          choices: THEME_CHOICES.map((key) => ({
            key,
            label: text.theme[key],
            isChosen: key === choice,
            onAction: () => choose(key),
          })),
        },
        {
          title: text.session.signOut,
          showTitle: false,
          choices: [{ key: 'sign-out', label: text.session.signOut, onAction: () => leave.mutate() }],
        },
      ]}
    />
  );
}
