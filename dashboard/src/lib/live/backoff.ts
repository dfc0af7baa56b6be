const BASE_MS = 500;
const CAP_MS = 8_000;
const FLOOR_MS = 250;

/** Full jitter: how long to wait before attempt n (0, 1, 2 …) with a random number in [0, 1). */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(attempt, 16));
  return FLOOR_MS + random * (ceiling - FLOOR_MS);
}
