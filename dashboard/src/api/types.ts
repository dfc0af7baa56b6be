// Names for the generated shapes of docs/api.md that the pages use.
import type { components } from './schema';

type Schemas = components['schemas'];

export type Session = Schemas['Session'];
export type Vehicle = Schemas['Vehicle'];
export type SignalInfo = Schemas['Signal'];
export type SignalList = Schemas['Signals'];
export type Series = Schemas['Series'];
export type Buckets = Schemas['Buckets'];
export type Track = Schemas['Track'];
