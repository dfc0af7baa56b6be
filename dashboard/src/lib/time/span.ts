/** A span of time, in ms since the epoch; `toMs` is exclusive. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

export const PRESETS = ['last-hour', 'today', 'yesterday'] as const;
export type Preset = (typeof PRESETS)[number];

const HOUR_MS = 3_600_000;

/** The span that a preset means now, in the browser's own time zone (a day with a clock change is not 24 h). */
export function presetSpan(preset: Preset, nowMs: number): Span {
  if (preset === 'last-hour') return { fromMs: nowMs - HOUR_MS, toMs: nowMs };
  const midnightMs = startOfDay(nowMs, 0);
  if (preset === 'today') return { fromMs: midnightMs, toMs: nowMs };
  return { fromMs: startOfDay(nowMs, -1), toMs: midnightMs };
}

/** A span from the URL; null where it is absent, broken or backwards. */
export function parseSpan(from: string | undefined, to: string | undefined): Span | null {
  if (from === undefined || to === undefined) return null;
  const fromMs = Date.parse(from);
  const toMs = Date.parse(to);
  return fromMs < toMs ? { fromMs, toMs } : null;
}

/** RFC 3339 in UTC, without the milliseconds where there are none. */
export function toRfc3339(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}

/** The value of an `<input type="datetime-local">`, to the minute. */
export function toLocalInput(ms: number): string {
  const date = new Date(ms);
  return new Date(ms - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** What a person typed into an `<input type="datetime-local">`; NaN where it is not a time. */
export function fromLocalInput(value: string): number {
  return value === '' ? NaN : new Date(value).getTime();
}

function startOfDay(nowMs: number, days: number): number {
  const day = new Date(nowMs);
  day.setHours(0, 0, 0, 0);
  day.setDate(day.getDate() + days);
  return day.getTime();
}
