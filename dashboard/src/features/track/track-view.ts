import { PRESETS, parseSpan, presetSpan, toRfc3339 } from '@/lib/time/span';
import type { Preset, Span } from '@/lib/time/span';

export interface TrackSearch {
  from?: string;
  to?: string;
}

/** The span in the address; the last hour where there is none. */
export function spanFromSearch({ from, to }: TrackSearch, nowMs: number): Span {
  return parseSpan(from, to) ?? presetSpan('last-hour', nowMs);
}

export function spanToSearch({ fromMs, toMs }: Span): TrackSearch {
  return { from: toRfc3339(fromMs), to: toRfc3339(toMs) };
}

const NEAR_MS = 90_000;

/** Which preset a span is, give or take the time since it was chosen. */
export function presetOf(span: Span, nowMs: number): Preset | null {
  const isNear = (a: number, b: number) => Math.abs(a - b) < NEAR_MS;
  const found = PRESETS.find((preset) => {
    const wanted = presetSpan(preset, nowMs);
    return isNear(wanted.fromMs, span.fromMs) && isNear(wanted.toMs, span.toMs);
  });
  return found ?? null;
}
