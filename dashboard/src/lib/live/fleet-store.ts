import { Merger } from './merger';
import { VEHICLE_STATES } from './protocol';
import type { LiveVehicle, LiveVehiclePatch, Position, SubscriptionMessage, VehicleState } from './protocol';

/** One vehicle as the pages see it: frozen, and the same object until something of it changes. */
export interface VehicleView {
  readonly id: string;
  readonly name: string;
  readonly state: VehicleState;
  readonly lastSeenMs: number | null;
  readonly position: Readonly<Required<Position>> | null;
}

const NOTIFY_EVERY_MS = 500;
const FIRST_CAPACITY = 64;

/**
 * The live fleet, outside React: numbers in typed arrays by slot, views made when asked for, listeners told at most
 * twice a second. Absent numbers are NaN.
 */
export class FleetStore {
  private readonly slots = new Map<string, number>();
  private readonly listeners = new Set<() => void>();
  private readonly merger = new Merger(NOTIFY_EVERY_MS, () => this.notify());
  private ids: string[] = [];
  private names: string[] = [];
  private views: (VehicleView | null)[] = [];
  private allViews: readonly VehicleView[] | null = null;
  private numbers = new Columns(FIRST_CAPACITY);
  private snapshotTaken = false;

  /** False until the first snapshot: an empty fleet and an unknown one are not the same. */
  get isLoaded(): boolean {
    return this.snapshotTaken;
  }

  get size(): number {
    return this.ids.length;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly all = (): readonly VehicleView[] => (this.allViews ??= this.ids.map((_, slot) => this.viewAt(slot)));

  readonly find = (id: string): VehicleView | undefined => {
    const slot = this.slots.get(id);
    return slot === undefined ? undefined : this.viewAt(slot);
  };

  readonly receive = (message: SubscriptionMessage): void => {
    if (message.op === 'snapshot') this.replace(message.vehicles);
    if (message.op === 'update') this.merge(message.vehicles);
  };

  /** A snapshot is the whole truth: what it does not name is gone. */
  replace(vehicles: readonly LiveVehicle[]): void {
    this.clearRows();
    for (const vehicle of vehicles) this.write(this.slotOf(vehicle.id), vehicle);
    this.snapshotTaken = true;
    this.changed();
  }

  /** Last value per vehicle wins; a vehicle not seen before is added. */
  merge(patches: readonly LiveVehiclePatch[]): void {
    for (const patch of patches) this.write(this.slotOf(patch.id), patch);
    if (patches.length > 0) this.changed();
  }

  clear(): void {
    this.clearRows();
    this.snapshotTaken = false;
    this.changed();
  }

  private clearRows(): void {
    this.slots.clear();
    this.ids = [];
    this.names = [];
    this.views = [];
  }

  private slotOf(id: string): number {
    const known = this.slots.get(id);
    if (known !== undefined) return known;
    const slot = this.ids.length;
    this.slots.set(id, slot);
    this.ids.push(id);
    this.names.push(id);
    this.views.push(null);
    this.numbers = this.numbers.withRoomFor(slot + 1);
    this.numbers.reset(slot);
    return slot;
  }

  private write(slot: number, patch: LiveVehiclePatch): void {
    if (patch.name !== undefined) this.names[slot] = patch.name;
    if (patch.state !== undefined) this.numbers.state[slot] = VEHICLE_STATES.indexOf(patch.state);
    if (patch.last_seen !== undefined) this.numbers.lastSeenMs[slot] = patch.last_seen ?? NaN;
    if (patch.position !== undefined) this.numbers.setPosition(slot, patch.position);
    this.views[slot] = null;
  }

  private viewAt(slot: number): VehicleView {
    return (this.views[slot] ??= Object.freeze({
      id: this.ids[slot] as string,
      name: this.names[slot] as string,
      state: VEHICLE_STATES[this.numbers.state[slot] as number] ?? 'offline',
      lastSeenMs: orNull(this.numbers.lastSeenMs[slot]),
      position: this.numbers.positionAt(slot),
    }));
  }

  private changed(): void {
    this.merger.request();
  }

  private notify(): void {
    this.allViews = null;
    for (const listener of this.listeners) listener();
  }
}

class Columns {
  readonly capacity: number;
  readonly state: Uint8Array;
  readonly lastSeenMs: Float64Array;
  private readonly position: Float64Array;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.state = new Uint8Array(capacity);
    this.lastSeenMs = new Float64Array(capacity);
    this.position = new Float64Array(capacity * 6);
  }

  withRoomFor(count: number): Columns {
    if (count <= this.capacity) return this;
    const larger = new Columns(this.capacity * 2);
    larger.state.set(this.state);
    larger.lastSeenMs.set(this.lastSeenMs);
    larger.position.set(this.position);
    return larger.withRoomFor(count);
  }

  reset(slot: number): void {
    this.state[slot] = VEHICLE_STATES.indexOf('offline');
    this.lastSeenMs[slot] = NaN;
    this.setPosition(slot, null);
  }

  setPosition(slot: number, position: Position | null): void {
    const { t, lat, lon, speed, course, alt } = position ?? { t: NaN, lat: NaN, lon: NaN };
    this.position.set([t, lat, lon, speed ?? NaN, course ?? NaN, alt ?? NaN], slot * 6);
  }

  positionAt(slot: number): VehicleView['position'] {
    const [t, lat, lon, speed, course, alt] = this.position.subarray(slot * 6, slot * 6 + 6) as unknown as Six;
    if (Number.isNaN(t)) return null;
    return Object.freeze({ t, lat, lon, speed: orNull(speed), course: orNull(course), alt: orNull(alt) });
  }
}

type Six = [number, number, number, number, number, number];

function orNull(value: number | undefined): number | null {
  return value === undefined || Number.isNaN(value) ? null : value;
}
