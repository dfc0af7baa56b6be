import type { SocketLike } from '@/lib/live/socket';

/** A WebSocket whose other end is the test. */
export class FakeSocket implements SocketLike {
  onopen: ((event: never) => unknown) | null = null;
  onmessage: ((event: never) => unknown) | null = null;
  onclose: ((event: never) => unknown) | null = null;
  readonly sent: Record<string, unknown>[] = [];
  isClosed = false;

  send(data: string): void {
    this.sent.push(JSON.parse(data) as Record<string, unknown>);
  }

  close(): void {
    this.isClosed = true;
  }

  serverAccepts(): void {
    this.onopen?.({} as never);
  }

  serverSends(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) } as never);
  }

  serverCloses(): void {
    this.onclose?.({} as never);
  }
}
