import { act, render, screen } from '@testing-library/react';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FleetStore } from '@/lib/live/fleet-store';
import { LiveContext } from '@/lib/live/live';
import { LiveSocket } from '@/lib/live/socket';
import { FakeSocket } from '@/testing/fake-socket';
import { ConnectionBanner, ConnectionLight } from './ConnectionState';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

test('says live, then that the connection is lost and when it tries again', () => {
  const fake = new FakeSocket();
  const socket = new LiveSocket({ open: () => fake, isSignedIn: () => Promise.resolve(true), random: () => 1 });
  render(
    <LiveContext value={{ socket, fleet: new FleetStore() }}>
      <ConnectionLight />
      <ConnectionBanner />
    </LiveContext>,
  );
  act(() => {
    socket.start();
    fake.serverAccepts();
    fake.serverSends({ op: 'hello', server_ms: 0, version: '' });
  });
  expect(screen.getByRole('status').textContent).toBe('Live');
  expect(screen.queryByRole('alert')).toBeNull();

  act(() => fake.serverCloses());
  expect(screen.getByRole('status').textContent).toBe('Reconnecting');
  expect(screen.getByRole('alert').textContent).toContain('Trying again in 1 s.');
  act(() => socket.stop());
});
