import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { render, screen } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { expect, test, vi } from 'vitest';
import { SignInPage } from './SignInPage';

function renderPage({ hasExpired = false } = {}) {
  const onSignedIn = vi.fn();
  render(
    <QueryClientProvider client={new QueryClient()}>
      <SignInPage hasExpired={hasExpired} onSignedIn={onSignedIn} />
    </QueryClientProvider>,
  );
  return onSignedIn;
}

function serverAnswers(status: number, body: object) {
  const answer = vi.fn(() => Promise.resolve(new Response(JSON.stringify(body), { status })));
  vi.stubGlobal('fetch', answer);
  return answer;
}

async function submit() {
  await userEvent.type(screen.getByLabelText('User'), 'admin');
  await userEvent.type(screen.getByLabelText('Password'), 'secret');
  await userEvent.click(screen.getByRole('button', { name: 'Sign in' }));
}

test('signs in with what was typed', async () => {
  const fetch = serverAnswers(200, { user: 'admin', role: 'admin' });
  const onSignedIn = renderPage();
  await submit();
  await vi.waitFor(() => expect(onSignedIn).toHaveBeenCalled());
  expect(onSignedIn.mock.calls[0]?.[0]).toEqual({ user: 'admin', role: 'admin' });
  expect(fetch).toHaveBeenCalledWith(
    '/v1/session',
    expect.objectContaining({ body: '{"user":"admin","password":"secret"}' }),
  );
});

test('a wrong password is said, and the fields stay', async () => {
  serverAnswers(401, { title: 'Unauthorized' });
  const onSignedIn = renderPage();
  await submit();
  expect((await screen.findByRole('alert')).textContent).toContain('User or password is wrong');
  expect(screen.getByLabelText<HTMLInputElement>('User').value).toBe('admin');
  expect(onSignedIn).not.toHaveBeenCalled();
});

test('a server that is away is said as such', async () => {
  vi.stubGlobal('fetch', () => Promise.reject(new TypeError('failed')));
  renderPage();
  await submit();
  expect((await screen.findByRole('alert')).textContent).toContain('cannot be reached');
});

test('an ended session says why the page is here', () => {
  renderPage({ hasExpired: true });
  expect(screen.getByRole('status').textContent).toContain('Your session has ended');
});
