import { useMutation } from '@tanstack/react-query';
import { useState } from 'react';
import { Form } from 'react-aria-components';
import type { Session } from '@/api/types';
import { Button } from '@/components/Button/Button';
import { Notice } from '@/components/Notice/Notice';
import { TextField } from '@/components/TextField/TextField';
import { Wordmark } from '@/components/Wordmark/Wordmark';
import { ApiProblem, isSignedOut } from '@/lib/api/problem';
import { text } from '@/lib/text';
import { usePageTitle } from '@/lib/use-page-title';
import { signIn } from './session-api';
import styles from './SignInPage.module.css';

interface SignInPageProps {
  readonly hasExpired: boolean;
  readonly onSignedIn: (session: Session) => void;
}

export function SignInPage({ hasExpired, onSignedIn }: SignInPageProps) {
  usePageTitle(text.session.title);
  const [user, setUser] = useState('');
  const [password, setPassword] = useState('');
  const attempt = useMutation({ mutationFn: signIn, onSuccess: onSignedIn });

  return (
    <main className={styles['page']}>
      <div className={styles['panel']}>
        <div className={styles['brand']}>
          <Wordmark />
          <p>{text.session.lead}</p>
        </div>
        <Form
          className={styles['form'] ?? ''}
          onSubmit={(event) => {
            event.preventDefault();
            attempt.mutate({ user, password });
          }}
        >
          <h1>{text.session.title}</h1>
          {hasExpired && attempt.isIdle && <Notice tone="warning">{text.session.expired}</Notice>}
          {attempt.isError && <Notice tone="danger">{explain(attempt.error)}</Notice>}
          <TextField
            label={text.session.user}
            name="user"
            autoComplete="username"
            value={user}
            onChange={setUser}
            isRequired
            autoFocus
            errorMessage={text.session.required}
          />
          <TextField
            label={text.session.password}
            name="password"
            type="password"
            autoComplete="current-password"
            value={password}
            onChange={setPassword}
            isRequired
            errorMessage={text.session.required}
          />
          <Button type="submit" variant="primary" isDisabled={attempt.isPending}>
            {attempt.isPending ? text.session.submitting : text.session.submit}
          </Button>
        </Form>
      </div>
    </main>
  );
}

function explain(error: Error) {
  if (isSignedOut(error)) return <Explanation title={text.session.wrong} hint={text.session.wrongHint} />;
  if (!(error instanceof ApiProblem)) return <Explanation title={text.problems.unexpected} hint={error.message} />;
  const hint = error.status === 0 ? text.problems.unreachableHint : (error.detail ?? '');
  return <Explanation title={error.title} hint={hint} />;
}

function Explanation({ title, hint }: { readonly title: string; readonly hint: string }) {
  return (
    <span>
      <strong>{title}.</strong> {hint}
    </span>
  );
}
