import { Merger } from './merger';
import type { SignalSample, SubscriptionMessage } from './protocol';

/** Live points of one signal, oldest first; two columns because that is what a chart draws. */
export interface LivePoints {
  readonly t: readonly number[];
  readonly v: readonly number[];
}

const NOTIFY_EVERY_MS = 250;
const KEPT_MS = 3_600_000;
const KEPT_POINTS = 20_000;
const NO_POINTS: LivePoints = { t: [], v: [] };

/** The newest value of every signal of one vehicle, and what came in since the page was opened. */
export class SignalStore {
  private readonly latest = new Map<string, SignalSample>();
  private readonly points = new Map<string, { t: number[]; v: number[] }>();
  private readonly listeners = new Set<() => void>();
  private readonly merger = new Merger(NOTIFY_EVERY_MS, () => this.notify());
  private sortedNames: readonly string[] | null = null;
  private snapshots = 0;
  private revision = 0;

  get isLoaded(): boolean {
    return this.snapshots > 0;
  }

  /** Counts snapshots: after a reconnect there is a hole before it, which the history fills. */
  readonly snapshotCount = (): number => this.snapshots;

  /** Counts notifications, for views that draw instead of render. */
  readonly version = (): number => this.revision;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly names = (): readonly string[] => (this.sortedNames ??= [...this.latest.keys()].sort(byName));

  readonly newest = (name: string): SignalSample | undefined => this.latest.get(name);

  readonly since = (name: string): LivePoints => this.points.get(name) ?? NO_POINTS;

  readonly receive = (message: SubscriptionMessage): void => {
    if (message.op === 'event') return;
    if (message.op === 'snapshot') this.snapshots += 1;
    for (const vehicle of message.vehicles) this.merge(vehicle.signals ?? {});
    this.merger.request();
  };

  /** Newer wins; a sample as old as the one known, or older, is not drawn again. */
  merge(signals: Readonly<Record<string, SignalSample>>): void {
    for (const [name, sample] of Object.entries(signals)) {
      const known = this.latest.get(name);
      if (known !== undefined && sample[0] < known[0]) continue;
      if (known === undefined) this.sortedNames = null;
      this.latest.set(name, sample);
      if (known === undefined || sample[0] > known[0]) this.append(name, sample);
    }
  }

  private append(name: string, [tMs, value]: SignalSample): void {
    let columns = this.points.get(name);
    if (columns === undefined) this.points.set(name, (columns = { t: [], v: [] }));
    columns.t.push(tMs);
    columns.v.push(value);
    if (columns.t.length > KEPT_POINTS || (columns.t[0] as number) < tMs - 2 * KEPT_MS) this.forget(columns, tMs);
  }

  private forget(columns: { t: number[]; v: number[] }, nowMs: number): void {
    const tooOld = columns.t.findIndex((t) => t >= nowMs - KEPT_MS);
    const drop = Math.max(tooOld, Math.ceil(columns.t.length / 10));
    columns.t.splice(0, drop);
    columns.v.splice(0, drop);
  }

  private notify(): void {
    this.revision += 1;
    for (const listener of this.listeners) listener();
  }
}

function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
