/** The parts of a signal's name, `bus:Message.Signal@SA:mean`, of which only message and signal are always there. */
export interface SignalName {
  readonly bus: string | null;
  readonly message: string;
  readonly signal: string;
  /** J1939 source address, as written. */
  readonly source: string | null;
  readonly aggregate: string | null;
}

const PARTS = /^(?:([^:.]+):)?([^.:]+)\.(.+?)(?:@([0-9A-Za-z]+))?(?::(min|max|mean|count))?$/;

/** Parts of a name; one that is no `Message.Signal` is all signal, of no message. */
export function parseSignalName(name: string): SignalName {
  const [, bus, message, signal, source, aggregate] = PARTS.exec(name) ?? [];
  if (message === undefined || signal === undefined) {
    return { bus: null, message: '', signal: name, source: null, aggregate: null };
  }
  return { bus: bus ?? null, message, signal, source: source ?? null, aggregate: aggregate ?? null };
}

/** What a signal is called where its message stands above it. */
export function signalLabel({ signal, aggregate }: SignalName): string {
  return aggregate === null ? signal : `${signal} (${aggregate})`;
}
